"""One pass of a degradation: blur, resizing, noise, compression, with parameters drawn from the ranges of a table."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from score_sde.checks import require
from score_sde.control.degradation import noise
from score_sde.control.degradation.kernels import SIZES, bell, filtered, sinc
from score_sde.control.degradation.resizing import MODES, resized

Range = tuple[float, float]
EVENLY = (1 / len(MODES),) * len(MODES)
NUMBERS = 24
"""At least as many random numbers as a pass needs."""


@dataclasses.dataclass(frozen=True)
class Pass:
    """The ranges, uniform unless said otherwise.

    blur       the probability of a blur;  ``sinc``: of the sinc filter in the place of one of ``kinds`` (see ``kernels``)
    stds       of the kernels, in pixels;  ``powers`` β of generalised kernels and of plateaus: half below 1
    resize     the probabilities to enlarge, to shrink, to keep;  ``scales``: (the smallest, the largest)
    gaussian   the probability of Gaussian noise, otherwise Poisson's;  ``alike``: of grey noise
    noise      standard deviation of Gaussian noise, in 255ths;  ``poisson``: the scale of Poisson noise
    quality    of JPEG
    """

    blur: float = 1.0
    sinc: float = 0.1
    kinds: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    stds: Range = (0.2, 3.0)
    powers: tuple[Range, Range] = ((0.5, 4.0), (1.0, 2.0))
    resize: tuple[float, float, float] = (0.2, 0.7, 0.1)
    scales: Range = (0.15, 1.5)
    gaussian: float = 0.5
    alike: float = 0.4
    noise: Range = (1.0, 30.0)
    poisson: Range = (0.05, 3.0)
    quality: Range = (30.0, 95.0)

    def __post_init__(self):
        for name in ("blur", "sinc", "gaussian", "alike"):
            require(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)}; allowed: a probability, 0 to 1")
        for name, count in (("kinds", 6), ("resize", 3)):
            chances = getattr(self, name)
            require(
                len(chances) == count and min(chances) >= 0 and abs(sum(chances) - 1) < 1e-6,
                f"{name} = {chances}; allowed: {count} probabilities whose sum is 1",
            )
        for name, least in (("stds", 0.05), ("scales", 0.02), ("noise", 0.0), ("poisson", 0.0), ("quality", 1.0)):
            low, high = getattr(self, name)
            require(least <= low <= high, f"{name} = {(low, high)}; allowed: (smallest, largest), from {least}")
        require(
            all(0 < least <= 1 <= most for least, most in self.powers),
            f"powers = {self.powers}; allowed: two ranges (smallest, largest) above 0 that hold 1",
        )
        require(self.scales[0] <= 1 <= self.scales[1], f"scales = {self.scales}; allowed: a range that holds 1")

    def drawn(self, key: Key[Array, ""]) -> dict[str, Any]:
        """The parameters of one example."""
        draws = iter(jax.random.uniform(key, (NUMBERS,)))

        def uniform(ends: Any) -> Array:
            return ends[0] + (ends[1] - ends[0]) * next(draws)

        def chance(p: float) -> Array:
            return next(draws) < p

        kind = one_of(next(draws), self.kinds)
        size = any_size(next(draws))
        (least, most), (flat, steep) = self.powers
        below, above = chance(0.5), (uniform((1.0, most)), uniform((1.0, steep)))
        generalised = jnp.where(below, uniform((least, 1.0)), above[0])
        plateau = jnp.where(below, uniform((flat, 1.0)), above[1])
        way = one_of(next(draws), self.resize)
        larger, smaller = uniform((1.0, self.scales[1])), uniform((self.scales[0], 1.0))
        return {
            "blurred": chance(self.blur),
            "sinc": chance(self.sinc),
            "kind": kind,
            "size": size,
            "stds": jnp.stack([uniform(self.stds), uniform(self.stds)]),
            "angle": uniform((-jnp.pi, jnp.pi)),
            "power": jnp.where(kind < 4, generalised, plateau),
            "cutoff": cutoff(next(draws), size),
            "scale": jnp.stack([larger, smaller, jnp.float32(1)])[way],
            "mode": one_of(next(draws), EVENLY),
            "gaussian": chance(self.gaussian),
            "alike": chance(self.alike),
            "noise": uniform(self.noise),
            "poisson": uniform(self.poisson),
            "quality": uniform(self.quality),
        }

    def applied(
        self, key: Key[Array, ""], x: Float[Array, "n m c"], sizes: Array, drawn: dict[str, Any], wanted: Array
    ) -> Float[Array, "n m c"]:
        """Blur, resizing to the ``wanted`` sizes and noise of the picture in the upper left ``sizes`` of x."""
        own = bell(drawn["kind"], drawn["stds"], drawn["angle"], drawn["power"], drawn["size"])
        kernel = jnp.where(drawn["sinc"], sinc(drawn["cutoff"], drawn["size"]), own)
        x = jnp.where(drawn["blurred"], filtered(x, sizes, kernel), x)
        x = resized(x, sizes, wanted, drawn["mode"])
        inside = within(x.shape, wanted)
        of_gauss, of_poisson = jax.random.split(key)
        gaussian = noise.gaussian(of_gauss, x, drawn["noise"] / 255, drawn["alike"])
        counted = noise.poisson(of_poisson, x, drawn["poisson"], drawn["alike"], inside)
        return jnp.clip(jnp.where(drawn["gaussian"], gaussian, counted), 0, 1)


def one_of(u: Array, chances: tuple[float, ...]) -> Array:
    """The number of the outcome, with these probabilities, for u ~ U(0, 1)."""
    return jnp.searchsorted(jnp.cumsum(jnp.array(chances[:-1])), u, side="right")


def any_size(u: Array) -> Array:
    """A size of kernels, all alike."""
    return jnp.array(SIZES)[jnp.floor(len(SIZES) * u).astype(int)]


def cutoff(u: Array, size: Array, least: float = 5.0) -> Array:
    """ω of a sinc filter: from π/3 to π for kernels below 13 pixels, from π/``least`` for larger ones."""
    low = jnp.where(size < 13, jnp.pi / 3, jnp.pi / least)
    return low + (jnp.pi - low) * u


def within(shape: tuple[int, ...], sizes: Array) -> Array:
    """True in the upper left ``sizes``, (n, m, 1)."""
    rows, columns = (jnp.arange(n) < size for n, size in zip(shape[:2], sizes, strict=True))
    return (rows[:, None] & columns[None, :])[..., None]


ONCE = Pass()
"""Real-ESRGAN's first pass, and its second:"""
TWICE = Pass(
    blur=0.8,
    stds=(0.2, 1.5),
    resize=(0.3, 0.4, 0.3),
    scales=(0.3, 1.2),
    noise=(1.0, 25.0),
    poisson=(0.05, 2.5),
)
MILD = Pass(
    blur=0.8,
    sinc=0.0,
    kinds=(0.6, 0.4, 0.0, 0.0, 0.0, 0.0),
    stds=(0.2, 1.2),
    resize=(0.2, 0.4, 0.4),
    scales=(0.6, 1.2),
    noise=(0.0, 6.0),
    poisson=(0.0, 0.5),
    quality=(70.0, 98.0),
)
"""For pictures that are not bad: what one camera and one upload do. It is used once."""
