"""Operators that are not linear: derivatives by finite differences, closed forms, and JPEG against libjpeg."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from score_sde import inverse
from tests.inverse.operators.cases import NONLINEAR, image


@pytest.mark.parametrize("make", NONLINEAR.values(), ids=NONLINEAR.keys())
def test_derivatives_are_central_differences(make, x64):
    A = make()
    x, v = image((2, *A.shape)) * 0.4, image((2, *A.shape), 1)
    u, h = image((2, *A.measured), 2), 1e-6

    @jax.jit
    def compute(A, x, v, u):
        y, push, pull = A.linearize(x)
        return y, push(v), pull(u), A(x + h * v), A(x - h * v)

    y, pushed, pulled, above, below = compute(A, x, v, u)
    assert not A.linear
    np.testing.assert_allclose(pushed, (above - below) / (2 * h), atol=1e-6)
    for i in range(2):  # ⟨J v, u⟩ = ⟨v, Jᵀ u⟩ for each sample
        np.testing.assert_allclose(np.sum(pushed[i] * u[i]), np.sum(v[i] * pulled[i]), rtol=1e-10)
    np.testing.assert_allclose(y, A(x), atol=1e-12)


@pytest.mark.parametrize("make", NONLINEAR.values(), ids=NONLINEAR.keys())
@pytest.mark.parametrize("method", ["adjoint", "pinv", "solve", "matrix", "svd"])
def test_what_needs_linearity_offers_the_jacobian(make, method):
    A = make()
    y = jnp.zeros((1, *A.measured))
    arguments = {"adjoint": (y,), "pinv": (y,), "solve": (y, 1.0, 1.0)}.get(method, ())
    with pytest.raises(ValueError, match=r"is not linear and has no .*A\.linearize\(x\)"):
        getattr(A, method)(*arguments)


def test_phases_are_lost():
    """By the convolution theorem the amplitudes do not change under −x, half a turn, and a shift within the padding; the
    sum of squares is that of x; and the zero frequency is the sum of x.
    """
    A = inverse.PhaseRetrieval((6, 4, 1))
    x = jnp.zeros((1, 6, 4, 1)).at[:, 1:5, :3].set(image((1, 4, 3, 1)))
    y = A(x)
    assert y.shape == (1, 12, 8, 1)
    for same in (-x, x[:, ::-1, ::-1], jnp.roll(x, (1, 1), (1, 2))):
        np.testing.assert_allclose(A(same), y, atol=1e-6)
    np.testing.assert_allclose(jnp.sum(y**2), jnp.sum(x**2), rtol=1e-6)
    np.testing.assert_allclose(y[0, 0, 0, 0] * np.sqrt(96), np.abs(x.sum()), rtol=1e-5)
    light = inverse.PhaseRetrieval((6, 4, 1), black=-1.0)
    np.testing.assert_allclose(light(jnp.full((1, 6, 4, 1), -1.0)), 0)
    assert np.isfinite(light.linearize(jnp.full((1, 6, 4, 1), -1.0))[2](y)).all()


def test_hdr():
    x = jnp.array([[-0.8, -0.25, 0.0, 0.1, 0.7]])
    y, push, _ = inverse.HDR((5,)).linearize(x)
    np.testing.assert_allclose(y, [[-1, -0.5, 0, 0.2, 1]], rtol=1e-6)
    np.testing.assert_allclose(push(jnp.ones((1, 5))), [[0, 2, 2, 2, 0]])


def test_the_nonlinear_blur_averages_light():
    """A constant stays, gamma 1 is the linear blur, and beside an edge it is brighter than the mean of the codes."""
    blur = inverse.gaussian_blur((8, 8, 1), 1.0, 5, "symmetric")
    A = inverse.NonlinearBlur(blur)
    for grey in (-1.2, -1.0, 0.3, 1.0):
        np.testing.assert_allclose(A(jnp.full((1, 8, 8, 1), grey)), grey, atol=1e-5)
    x = jnp.asarray(image((1, 8, 8, 1)))
    np.testing.assert_allclose(inverse.NonlinearBlur(blur, gamma=1.0)(x), blur(x), atol=1e-5)
    edge = jnp.where(jnp.arange(8) < 4, -1.0, 1.0)[None, None, :, None] * jnp.ones((1, 8, 8, 1))
    assert (A(edge) >= blur(edge) - 1e-6).all()
    assert float((A(edge) - blur(edge)).max()) > 0.2
    black = jnp.full((1, 8, 8, 1), -1.0)  # where a plain power law has the derivative 0
    np.testing.assert_allclose(A.linearize(black)[1](jnp.ones_like(black)), 1, rtol=1e-4)


def photo(channels):
    """Waves and a little noise, in levels 0 to 255."""
    g, rng = np.linspace(0, 1, 32), np.random.default_rng(0)
    waves = [128 + 60 * np.sin((5 + c) * g)[:, None] * np.cos((7 - c) * g) for c in range(channels)]
    return np.clip(np.stack(waves, -1) + 10 * rng.normal(size=(32, 32, channels)), 25, 230).astype(np.uint8)


@pytest.mark.parametrize(("channels", "mean_difference"), [(1, 0.9), (3, 2.0)])
def test_jpeg_is_what_libjpeg_does(channels, mean_difference):
    """The same tables, and images that differ by less than its own rounding to 256 levels makes: libjpeg rounds colours
    before the transform too, which sends some coefficients to the neighbouring step.
    """
    levels = photo(channels)
    x = jnp.asarray(levels / 127.5 - 1)[None]
    for quality in (10, 30, 75, 95):
        file = io.BytesIO()
        plane = levels[..., 0] if channels == 1 else levels
        PIL.Image.fromarray(plane).save(file, "JPEG", quality=quality, subsampling=0)
        decoded = PIL.Image.open(file)
        A = inverse.JPEG(levels.shape, quality)
        for table, ours in zip(decoded.quantization.values(), np.moveaxis(A.tables, -1, 0), strict=False):
            np.testing.assert_array_equal(np.reshape(table, (8, 8)), ours)
        difference = (np.asarray(A(x))[0] + 1) * 127.5 - np.asarray(decoded, float).reshape(levels.shape)
        assert np.abs(difference).mean() < mean_difference


def test_jpeg_at_full_quality_and_its_straight_through_derivative():
    A = inverse.JPEG((32, 32, 3), 100)
    x = jnp.asarray(photo(3) / 127.5 - 1)[None]
    error = np.abs(np.asarray(A(x) - x)) * 127.5
    assert error.mean() < 0.5  # steps of one: coefficients are off by at most a half
    assert error.max() < 4
    v = jnp.asarray(image(x.shape))
    coarse = inverse.JPEG((32, 32, 3), 5)
    y, push, pull = coarse.linearize(x)
    assert float(jnp.abs(y - x).max()) > 0.1
    np.testing.assert_allclose(push(v), v, atol=1e-4)
    np.testing.assert_allclose(pull(v), v, atol=1e-4)
