"""JPEG with colours at half the resolution (4:2:0), as files of photographs have it."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from score_sde.inverse.operators.jpeg import CHROMINANCE, LUMINANCE, TO_RGB, TO_YCBCR, matrix_times, quantised, scaled

BLOCK = 16
"""A canvas has sides that this divides."""


def compressed(x: Float[Array, "h w c"], sizes: Array, quality: Array) -> Float[Array, "h w c"]:
    """The picture in the upper left ``sizes`` of x, in [0, 1], coded and decoded; its last pixels continue it."""
    for axis in (0, 1):
        x = jnp.take(x, jnp.minimum(jnp.arange(x.shape[axis]), sizes[axis] - 1), axis=axis)
    levels = 255 * jnp.clip(x, 0, 1) - 128
    if x.shape[-1] == 3:
        levels = matrix_times(TO_YCBCR, levels)
    light = quantised(levels[..., :1], scaled(LUMINANCE[..., None], quality))
    if x.shape[-1] == 3:
        light = jnp.concatenate([light, _coarse(levels[..., 1:], quality)], axis=-1)
        light = matrix_times(TO_RGB, light)
    return jnp.clip((light + 128) / 255, 0, 1)


def _coarse(colours: Float[Array, "h w 2"], quality: Array) -> Float[Array, "h w 2"]:
    height, width, _ = colours.shape
    means = colours.reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3))
    coded = quantised(means, scaled(np.stack([CHROMINANCE] * 2, -1), quality))
    return jnp.repeat(jnp.repeat(coded, 2, axis=0), 2, axis=1)
