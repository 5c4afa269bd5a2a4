"""Bad input is refused in words: the name, the value, what is allowed, the likely fix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_sde import inverse

ONES = np.ones((3, 3)) / 9
SHAPE = (8, 8, 3)

BAD = {
    "mask of another shape": (lambda: inverse.Mask(np.ones((7, 8), bool), SHAPE), r"mask has shape \(7, 8\).*\(8, 8, 1\)"),
    "mask with no pixel": (lambda: inverse.Mask(np.zeros((8, 8), bool)), "False everywhere: nothing is measured"),
    "mask of weights": (lambda: inverse.Mask(np.full((8, 8), 0.5)), r"entries other than True.*0\.5"),
    "mask in jit": (lambda: jax.eval_shape(inverse.Mask, jnp.ones(4, bool)), "make the operator outside"),
    "frequencies": (lambda: inverse.FourierMask(np.ones((4, 4), bool), SHAPE), r"mask has shape \(4, 4\).*needs \(8, 8\)"),
    "no frequency": (lambda: inverse.FourierMask(np.zeros((4, 4), bool)), "nothing is measured"),
    "box outside": (lambda: inverse.box_mask(SHAPE, 4, corner=(6, 0)), r"size \(4, 4\) at corner \(6, 0\).*\(8, 8\)"),
    "box too large": (lambda: inverse.outpainting_mask(SHAPE, 9), r"size \(9, 9\).*does not lie inside"),
    "all missing": (lambda: inverse.random_mask(SHAPE, 1.0, seed=0), "missing = 1.0; allowed: from 0 to below 1"),
    "another half": (lambda: inverse.half_mask(SHAPE, "up"), "missing = 'up'; allowed: left, right, top, bottom"),
    "no image": (lambda: inverse.box_mask((8, 8), 2), r"shape = \(8, 8\); allowed: \(height, width, channels\)"),
    "factor": (lambda: inverse.average_downsampling(SHAPE, 3), "factor = 3 does not divide an image of 8 x 8"),
    "factor 0": (lambda: inverse.bicubic_downsampling(SHAPE, 0), "factor = 0"),
    "kernel too large": (lambda: inverse.Blur(np.ones((9, 9)), SHAPE), "kernel of 9 pixels for an image of 8; allowed"),
    "wide Gaussian": (lambda: inverse.gaussian_blur(SHAPE, 3.0), "kernel of 25 pixels for an image of 8.*smaller size"),
    "even size": (lambda: inverse.gaussian_blur(SHAPE, 1.0, 4), "size = 4; allowed: an odd number"),
    "std": (lambda: inverse.gaussian_blur(SHAPE, 0.0), "std = 0.0; allowed: above 0"),
    "border": (lambda: inverse.Blur(ONES, SHAPE, "mirror"), "border = 'mirror'; allowed: circular, reflect"),
    "border of a matrix": (lambda: inverse.gaussian_blur(SHAPE, 0.5, border="zero"), "border = 'zero'; allowed: circular"),
    "1-d kernel": (lambda: inverse.Blur(np.ones(3), SHAPE), r"kernel has shape \(3,\); allowed: \(rows, columns\)"),
    "intensity": (lambda: inverse.motion_kernel(5, 2.0, seed=0), "intensity = 2.0; allowed: from 0"),
    "grey of grey": (lambda: inverse.grey((8, 8, 1)), "grey is made of 3 channels"),
    "weights": (lambda: inverse.grey(SHAPE, "hdtv"), "weights = 'hdtv'; allowed: itu, mean"),
    "colours": (lambda: inverse.colour(SHAPE, np.ones((1, 4))), r"factors\[2\] has shape \(1, 4\).*\(any, 3\)"),
    "factors": (lambda: inverse.Kronecker((None, None), SHAPE), "2 factors for x of shape"),
    "matrix": (lambda: inverse.Matrix(np.ones((3, 5)), SHAPE), r"a has shape \(3, 5\).*needs \(m, 192\)"),
    "vector": (lambda: inverse.Matrix(np.ones(3)), r"a has shape \(3,\); allowed: a matrix \(m, d\)"),
    "not a power of 2": (lambda: inverse.Walsh((6, 8, 3), seed=0), "48 pixels; a Walsh-Hadamard matrix needs a power of 2"),
    "no rows": (lambda: inverse.walsh_sensing(SHAPE, 0.0, seed=0), "measured = 0.0; allowed: above 0, up to 1"),
    "acceleration": (lambda: inverse.mri(SHAPE, 0.5, seed=0), "acceleration = 0.5; allowed: 1"),
    "centre": (lambda: inverse.mri(SHAPE, 4.0, centre=0.5, seed=0), "centre = 0.5 is 4 of 8 columns, more than the 2"),
    "no angle": (lambda: inverse.Radon(SHAPE, 0), "angles = 0; allowed: a number of angles from 1"),
    "oversampling": (lambda: inverse.PhaseRetrieval(SHAPE, oversampling=0.5), "oversampling = 0.5; allowed: 1"),
    "quality": (lambda: inverse.JPEG(SHAPE, 0), "quality = 0; allowed: 1 to 100"),
    "blocks": (lambda: inverse.JPEG((12, 8, 3), 50), r"shape = \(12, 8, 3\); JPEG works in blocks of 8 x 8"),
    "channels": (lambda: inverse.JPEG((8, 8, 2), 50), "allowed: 1 channel"),
    "exposure": (lambda: inverse.HDR(SHAPE, exposure=-1.0), "exposure = -1.0; allowed: above 0"),
    "not a blur": (lambda: inverse.NonlinearBlur(inverse.grey(SHAPE)), r"blur maps \(8, 8, 3\) to \(8, 8, 1\)"),
    "composition": (lambda: inverse.grey(SHAPE) @ inverse.grey(SHAPE), r"B = Kronecker measures \(8, 8, 1\), but A"),
    "stack": (lambda: inverse.stack((inverse.grey(SHAPE), inverse.Identity((4,)))), r"shapes \[\(4,\), \(8, 8, 3\)\]"),
    "empty stack": (lambda: inverse.stack(()), "stack of no operator"),
    "not linear": (lambda: inverse.Function(jnp.abs, (3,), linear=True), "cannot transpose abs"),
    "affine": (lambda: inverse.Function(lambda x: x + 1, (3,), linear=True), r"<lambda>\(0\) = 1, not 0; say linear=False"),
    "x": (lambda: inverse.grey(SHAPE)(jnp.ones((2, 4, 8, 3))), r"x has shape \(2, 4, 8, 3\).*needs \(batch, 8, 8, 3\)"),
    "x without batch": (lambda: inverse.grey(SHAPE)(jnp.ones(SHAPE)), r"x has shape.*x\[None\] is a batch of one"),
    "y": (lambda: inverse.grey(SHAPE).adjoint(jnp.ones((1, *SHAPE))), r"y has shape \(1, 8, 8, 3\).*\(batch, 8, 8, 1\)"),
    "rho": (lambda: inverse.Identity((3,)).solve(jnp.ones((2, 3)), jnp.ones(3), 0.1), r"rho has shape \(3,\).*or \(2,\)"),
    "too large": (
        lambda: inverse.Blur(ONES, (80, 80, 1)).pinv(jnp.ones((1, 80, 80, 1))),
        r"no pseudo-inverse in closed form.*6400 x 6400.*conjugate gradients, or dense\(A\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_words(make, words, unchecked):
    with pytest.raises(ValueError, match=words):
        make()


def test_only_operators_compose(unchecked):
    with pytest.raises(TypeError):
        inverse.grey(SHAPE) @ 3
    with pytest.raises(TypeError, match=r"Operator does not define apply\(x\)"):
        inverse.Operator((3,))(jnp.ones((1, 3)))
