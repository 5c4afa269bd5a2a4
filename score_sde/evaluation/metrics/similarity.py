"""How similar two images are: PSNR, SSIM (Wang et al. 2004) and MS-SSIM (Wang et al. 2003). Images are (n, h, w, c)."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from score_sde.checks import require

Images = Float[Array | np.ndarray, "n height width channels"]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def psnr(one: Images, other: Images, *, span: float = 1.0) -> Float[Array, "n"]:
    """10 log₁₀ span²/MSE of each image, in dB; ``span`` is that of the values, 255 for bytes."""
    error = jnp.mean((jnp.asarray(one, float) - jnp.asarray(other, float)) ** 2, axis=(1, 2, 3))
    return 10 * jnp.log10(span**2 / error)


def ssim(one: Images, other: Images, *, span: float = 1.0) -> Float[Array, "n"]:
    """The mean over pixels and channels of luminance × contrast and structure, under an 11 × 11 Gaussian of width 1.5."""
    luminance, structure = _parts(jnp.asarray(one, float), jnp.asarray(other, float), span)
    return jnp.mean(luminance * structure, axis=(1, 2, 3))


def ms_ssim(one: Images, other: Images, *, span: float = 1.0) -> Float[Array, "n"]:
    """Structure at five scales, luminance at the coarsest; the shortest side must be above 160 pixels."""
    one, other = jnp.asarray(one, float), jnp.asarray(other, float)
    require(min(one.shape[1:3]) > 160, f"images of {one.shape[1]} x {one.shape[2]}; MS-SSIM needs more than 160 pixels")
    result = jnp.ones(one.shape[0])
    for scale, weight in enumerate(WEIGHTS):
        luminance, structure = _parts(one, other, span)
        last = scale == len(WEIGHTS) - 1
        value = jnp.mean(luminance * structure if last else structure, axis=(1, 2, 3))
        result = result * jnp.maximum(value, 0) ** weight
        if not last:
            one, other = _halved(one), _halved(other)
    return result


def _parts(one: Images, other: Images, span: float) -> tuple[Array, Array]:
    """(luminance, contrast × structure) at each pixel whose window lies inside the image."""
    require(one.shape == other.shape, f"images of shape {one.shape} and {other.shape}")
    require(min(one.shape[1:3]) >= 11, f"images of {one.shape[1]} x {one.shape[2]}; SSIM needs at least 11 pixels")
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    mean_x, mean_y = _blurred(one), _blurred(other)
    var_x, var_y = _blurred(one**2) - mean_x**2, _blurred(other**2) - mean_y**2
    covariance = _blurred(one * other) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2 * covariance + c2) / (var_x + var_y + c2)


def _blurred(x: Images) -> Array:
    taps = jnp.exp(-(jnp.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    n, h, w, c = x.shape
    planes = jnp.moveaxis(x, 3, 1).reshape(n * c, h, w, 1)
    for axis in (0, 1):
        kernel = jnp.expand_dims(taps, (1 - axis, 2, 3))
        planes = lax.conv_general_dilated(
            planes, kernel.astype(planes.dtype), (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return jnp.moveaxis(planes.reshape(n, c, h - 10, w - 10), 1, 3)


def _halved(x: Images) -> Array:
    """The mean of 2 × 2 pixels; an odd row or column at the end is left out."""
    n, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
