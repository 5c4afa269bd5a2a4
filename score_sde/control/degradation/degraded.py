"""A low resolution as pictures in the wild have it, for blind super-resolution by concatenation.

Two passes (``passes``), then in one of two orders with equal probability

    resizing to the low resolution, sinc filter, JPEG        or        JPEG, resizing, sinc filter

and rounding to 256 levels. All parameters depend on the example's key alone. Two things differ: the
original degrades pictures that it has sharpened, and places pixels by the scale that was drawn, not by the ratio of sizes.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from score_sde.checks import require
from score_sde.control.degradation.compression import BLOCK, compressed
from score_sde.control.degradation.kernels import filtered, sinc
from score_sde.control.degradation.passes import EVENLY, MILD, ONCE, TWICE, Pass, any_size, cutoff, one_of
from score_sde.control.degradation.resizing import resized
from score_sde.control.low_resolution import Lowered, noisy


@dataclasses.dataclass(frozen=True)
class Degraded(Lowered):
    """``noise`` is added at last, when all else has happened.

    mild        one pass with mild ranges in the place of Real-ESRGAN's two, which many find too strong
    first, second    passes of your own in their place (in a config by import path); one pass if second is None
    ring        the probability of the last sinc filter
    """

    mild: bool = False
    first: Pass | None = None
    second: Pass | None = None
    ring: float = 0.8

    def __post_init__(self):
        super().__post_init__()
        require(self.shape[2] in (1, 3), f"shape = {self.shape}; allowed: 1 channel (grey) or 3 (red, green, blue)")
        require(
            self.first is not None or self.second is None, "second is given without first; give both, or first alone"
        )
        require(
            not (self.mild and self.first is not None), "mild = True beside first, which says it all; leave mild out"
        )
        require(0 <= self.ring <= 1, f"ring = {self.ring}; allowed: a probability, 0 to 1")

    @property
    def passes(self) -> tuple[Pass, ...]:
        """One or two."""
        if self.first is not None:
            return (self.first,) if self.second is None else (self.first, self.second)
        return (MILD,) if self.mild else (ONCE, TWICE)

    def of(self, key: Key[Array, ""], x: Float[Array, "h w c"]) -> Float[Array, "..."]:
        low = jnp.array(self.form[:2])
        sizes, h = jnp.array(x.shape[:2]), self._on_canvas(x)
        for number, each in enumerate(self.passes):
            of_pass, of_noise = jax.random.split(jax.random.fold_in(key, 2 + number))
            drawn = each.drawn(of_pass)
            about = jnp.array(x.shape[:2]) if number == 0 else low  # the second pass is near the low resolution
            wanted = jnp.maximum(jnp.floor(about * drawn["scale"]), 1).astype(int)
            h = each.applied(of_noise, h, sizes, drawn, wanted)
            sizes = wanted
            if number + 1 < len(self.passes):
                h = compressed(h, sizes, drawn["quality"])
        last = self._ended(jax.random.fold_in(key, 2 + len(self.passes)), h, sizes, low, drawn["quality"])
        y = jnp.round(255 * jnp.clip(last[: self.form[0], : self.form[1]], 0, 1)) / 255
        return noisy(key, 2 * y - 1, self.noise)

    def _ended(self, key: Key[Array, ""], x: Array, sizes: Array, low: Array, quality: Array) -> Array:
        order, which, low_pass, rings, way = jax.random.uniform(key, (5,))
        size, mode, ring = any_size(which), one_of(way, EVENLY), rings < self.ring
        kernel = sinc(cutoff(low_pass, size, least=3.0), size)

        def resized_and_filtered(h: Array) -> Array:
            h = resized(h, sizes, low, mode)
            return jnp.where(ring, filtered(h, low, kernel), h)

        coded_last = compressed(resized_and_filtered(x), low, quality)
        coded_first = resized_and_filtered(compressed(x, sizes, quality))
        return jnp.where(order < 0.5, coded_last, coded_first)

    def _on_canvas(self, x: Float[Array, "h w c"]) -> Float[Array, "n m c"]:
        """x in the corner of a canvas that holds the largest picture on the way."""
        largest = max(each.scales[1] for each in self.passes)
        n, m = (BLOCK * int(np.ceil(largest * side / BLOCK)) for side in x.shape[:2])
        return jnp.zeros((n, m, x.shape[2]), x.dtype).at[: x.shape[0], : x.shape[1]].set(x)
