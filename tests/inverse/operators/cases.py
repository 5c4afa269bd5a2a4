"""Small operators of every kind, as functions: they are made in the precision of the test."""

import jax.numpy as jnp
import numpy as np

from score_sde import inverse

IMAGE, COLOUR = (8, 8, 1), (8, 4, 3)


def image(shape, seed=0):
    """A random array."""
    return np.random.default_rng(seed).normal(size=shape)


def asymmetric_kernel():
    kernel = np.random.default_rng(3).uniform(0.1, 1, (3, 4))
    return kernel / kernel.sum()


def pairs(height, width):
    """A mask of frequencies with single ones, pairs ±k, the mean, and the highest one."""
    mask = np.zeros((height, width), bool)
    mask[0, 0] = mask[height // 2, width // 2] = mask[1, 1] = mask[-1, -1] = mask[2, 1] = mask[0, 1] = mask[0, -1] = (
        True
    )
    return mask


STRUCTURED = {
    "Identity": lambda: inverse.Identity((3, 2)),
    "Matrix wide": lambda: inverse.Matrix(image((5, 12)), (2, 2, 3)),
    "Matrix tall": lambda: inverse.Matrix(image((9, 4))),
    "Matrix of rank 2": lambda: inverse.Matrix(image((5, 2)) @ image((2, 6), 1)),
    "gaussian_sensing": lambda: inverse.gaussian_sensing(COLOUR, 20, seed=1),
    "Mask of a vector": lambda: inverse.Mask([True, False, True, True]),
    "box_mask": lambda: inverse.box_mask(COLOUR, (3, 2)),
    "random_mask": lambda: inverse.random_mask(COLOUR, 0.7, seed=0, per_channel=True),
    "average_downsampling": lambda: inverse.average_downsampling(COLOUR, 4),
    "bicubic_downsampling": lambda: inverse.bicubic_downsampling((16, 8, 1), 4),
    "gaussian_blur reflect": lambda: inverse.gaussian_blur(IMAGE, 0.6),
    "gaussian_blur circular": lambda: inverse.gaussian_blur(COLOUR, 0.7, 3, "circular"),
    "Blur circular": lambda: inverse.Blur(asymmetric_kernel(), (8, 5, 2), "circular"),
    "Blur with zeros in the spectrum": lambda: inverse.Blur(np.full((1, 2), 0.5), IMAGE, "circular"),
    "grey": lambda: inverse.grey(COLOUR),
    "colour": lambda: inverse.colour((2, 2, 3), image((2, 3))),
    "Kronecker of three": lambda: inverse.Kronecker((image((2, 3)), None, image((4, 2))), (3, 2, 2)),
    "Walsh": lambda: inverse.Walsh(COLOUR, seed=0),
    "walsh_sensing": lambda: inverse.walsh_sensing((4, 4, 3), 0.5, seed=0),
    "FourierMask even": lambda: inverse.FourierMask(pairs(6, 4)),
    "FourierMask odd": lambda: inverse.FourierMask(pairs(5, 5), (5, 5, 2)),
    "FourierMask full": lambda: inverse.FourierMask(np.ones((4, 6), bool)),
    "mri": lambda: inverse.mri((4, 8, 1), 2.0, seed=0),
    "Matrix @ Walsh": lambda: inverse.Matrix(image((3, 16)), (4, 4, 1)) @ inverse.Walsh((4, 4, 1), seed=2),
    "Walsh @ average": lambda: inverse.Walsh((2, 2, 1), seed=2) @ inverse.average_downsampling((4, 4, 1), 2),
}

UNSTRUCTURED = {
    "Matrix undecomposed": lambda: inverse.Matrix(image((3, 6)), decompose=False),
    "Blur reflect": lambda: inverse.Blur(asymmetric_kernel(), (6, 5, 2)),
    "Blur replicate": lambda: inverse.Blur(asymmetric_kernel(), (5, 6, 1), "replicate"),
    "motion_blur": lambda: inverse.motion_blur((6, 6, 1), 5, 0.5, seed=0, border="symmetric"),
    "Radon": lambda: inverse.Radon((6, 5, 2), 4),
    "Function": lambda: inverse.Function(lambda x: jnp.cumsum(x, 0)[::2], (6, 2), linear=True),
    "grey @ blur": lambda: inverse.grey((4, 5, 3)) @ inverse.Blur(asymmetric_kernel(), (4, 5, 3)),
    "stack": lambda: inverse.stack((inverse.grey(COLOUR), inverse.box_mask(COLOUR, 2))),
    "own class": lambda: Cumulative((4, 3)),
}

LINEAR = {**STRUCTURED, **UNSTRUCTURED}

NONLINEAR = {
    "PhaseRetrieval": lambda: inverse.PhaseRetrieval((5, 4, 2)),
    "PhaseRetrieval of light": lambda: inverse.PhaseRetrieval((6, 4, 1), oversampling=1.5, black=-1.0),
    "HDR": lambda: inverse.HDR((4, 4, 3)),
    "NonlinearBlur": lambda: inverse.NonlinearBlur(inverse.gaussian_blur(IMAGE, 0.7, 5)),
    "HDR @ blur": lambda: inverse.HDR(IMAGE) @ inverse.gaussian_blur(IMAGE, 0.7, 5),
    "stack with HDR": lambda: inverse.stack((inverse.HDR(COLOUR), inverse.grey(COLOUR))),
    "Function": lambda: inverse.Function(lambda x: jnp.tanh(x) * x[0], (3, 2), linear=False),
}


class Cumulative(inverse.Operator):
    """What the module's docstring shows."""

    def apply(self, x):
        return jnp.cumsum(x, axis=0)
