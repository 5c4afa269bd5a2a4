"""A map in the place of depth: smooth, one number for each pixel, scaled in each picture to its full range.

    m = 2 (h − min h)/(max h − min h) − 1

as Stable Diffusion's depth2img scales the depth of MiDaS. Data with depth of their own use ``full_range`` as the encoder of
their leaf.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from score_sde.checks import require
from score_sde.control.base import Control, grey
from score_sde.control.edges import smoothed


@dataclasses.dataclass(frozen=True)
class Relief(Control):
    """The smoothed luminance, (height, width, 1) in [−1, 1]. ``std``: of the Gaussian, in pixels."""

    std: float = 2.0

    def __post_init__(self):
        super().__post_init__()
        require(self.std > 0, f"std = {self.std}; allowed: above 0, in pixels")

    @property
    def form(self) -> tuple[int, ...]:
        return (*self.shape[:2], 1)

    def of(self, key: Key[Array, ""], x: Float[Array, "h w c"]) -> Float[Array, "h w 1"]:
        return full_range(smoothed(grey(x), self.std)[None])[0, ..., None]


def full_range(maps: Float[Array, "batch h w"]) -> Float[Array, "batch h w"]:
    """Each map scaled to [−1, 1]; one that is constant but for rounding is 0."""
    low, high = (end(maps, axis=(1, 2), keepdims=True) for end in (jnp.min, jnp.max))
    varies = high - low > 1e-5 * jnp.maximum(jnp.abs(low), jnp.abs(high))
    return jnp.where(varies, 2 * (maps - low) / jnp.where(varies, high - low, 1) - 1, 0)
