"""Images between model space and the range from 0 to 1, in which similarities are computed."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.data.scaling import DataScaling


def in_model_space(scaling: DataScaling, images: Array) -> Float[Array, "batch height width channels"]:
    """Images in model space, a dequantised level at the middle of its cell."""
    require(
        images.ndim == 4, f"examples of shape {images.shape[1:]}; restoration is of images (height, width, channels)"
    )
    return scaling.place(images, jnp.float32(0.5)) if scaling.dequantize else scaling.forward(images)


def ends(scaling: DataScaling) -> tuple[float, float]:
    """Black and white in model space; continuous data have values from 0 to 255."""
    low, high = scaling.range if scaling.levels is not None else scaling.forward(jnp.array([0.0, 255.0]))
    return float(low), float(high)


def in_unit_range(scaling: DataScaling, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Images from 0 to 1, clipped."""
    low, high = ends(scaling)
    return jnp.clip((x - low) / (high - low), 0, 1)
