"""What is made from a picture to tell a network: the interface of the room."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from score_sde.checks import require

GREY = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in the luminance (ITU-R BT.601)."""


@dataclasses.dataclass(frozen=True)
class Control:
    """A function (key, picture) -> control image of one example, with x = ``unit(picture)`` in [0, 1].

    shape     of the picture, (height, width, channels)
    levels    of the picture; None if it holds numbers in [−1, 1]
    """

    shape: tuple[int, ...]
    levels: int | None = 256

    def __post_init__(self):
        require(len(self.shape) == 3, f"shape = {self.shape}; a control image is made from (height, width, channels)")

    @property
    def form(self) -> tuple[int, ...]:
        """The shape of the control image."""
        raise NotImplementedError

    @property
    def range(self) -> tuple[float, float]:
        """Its smallest and its largest value."""
        return -1.0, 1.0

    def of(self, key: Key[Array, ""], x: Float[Array, "h w c"]) -> Float[Array, "..."]:
        """The control image."""
        raise NotImplementedError

    def __call__(self, key: Key[Array, ""], picture: Array | np.ndarray) -> Float[Array, "..."]:
        return self.of(key, self.unit(picture))

    def unit(self, picture: Array | np.ndarray) -> Float[Array, "h w c"]:
        """The picture with values from 0 to 1."""
        picture = jnp.asarray(picture)
        return (picture + 1.0) / 2 if self.levels is None else picture.astype(jnp.float32) / (self.levels - 1)

    def checked(self, name: str, images: Any) -> Array:
        """The images themselves; a ValueError that says which shape and range they need unless they have it."""
        low, high = self.range
        require(
            images.shape[1:] == self.form,
            f"condition {name} has shape {images.shape}; needed: (n, {', '.join(map(str, self.form))}), one for each sample",
        )
        least, most = (float(end(images)) if images.size else low for end in (np.min, np.max))
        advice = "x / 255" if low == 0 else "x / 127.5 - 1"
        require(
            low - 1e-3 <= least and most <= high + 1e-3,
            f"condition {name} has values from {least:.4g} to {most:.4g}; needed: from {low:g} to {high:g}"
            + (f" (of bytes: {advice})" if most > 10 else ""),
        )
        return jnp.asarray(images, jnp.float32)


def grey(x: Float[Array, "h w c"]) -> Float[Array, "h w"]:
    """The luminance of a picture with three channels, otherwise the mean of the channels."""
    weights = jnp.asarray(GREY if x.shape[-1] == 3 else np.full(x.shape[-1], 1 / x.shape[-1]), x.dtype)
    return x @ weights
