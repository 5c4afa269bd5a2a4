"""A picture at a low resolution, perhaps with noise, for super-resolution by concatenation.

    y = D x + s ε,     s ~ U(noise)

Noise in training, whose s the network is told, lets it take pictures that another model drew (Ho et al. 2022, "conditioning
augmentation"; SR3): at sampling s is free.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from score_sde.checks import require
from score_sde.control.base import Control
from score_sde.inverse.operators import average_downsampling, bicubic_downsampling

DOWN = {"average": average_downsampling, "bicubic": bicubic_downsampling}


@dataclasses.dataclass(frozen=True)
class Lowered(Control):
    """(height/factor, width/factor, channels) in [−1, 1] but for the noise. ``noise``: (least s, largest s)."""

    factor: int = 4
    noise: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        super().__post_init__()
        lower(self.shape, self.factor)
        check_noise(self.noise)

    @property
    def range(self) -> tuple[float, float]:
        return noisy_range(self.noise)

    @property
    def form(self) -> tuple[int, ...]:
        return lower(self.shape, self.factor)


@dataclasses.dataclass(frozen=True)
class LowResolution(Lowered):
    """The mean of each block, or a bicubic filter."""

    kernel: Literal["average", "bicubic"] = "average"

    def of(self, key: Key[Array, ""], x: Float[Array, "h w c"]) -> Float[Array, "..."]:
        return noisy(key, DOWN[self.kernel](self.shape, self.factor).apply(2 * x - 1), self.noise)


@dataclasses.dataclass(frozen=True)
class NoiseLevel(Control):
    """The number s of an example whose low resolution has this ``noise``."""

    noise: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        check_noise(self.noise)

    @property
    def range(self) -> tuple[float, float]:
        return 0.0, np.inf

    @property
    def form(self) -> tuple[int, ...]:
        return ()

    def of(self, key: Key[Array, ""], x: Float[Array, "h w c"]) -> Float[Array, ""]:
        return _level(key, self.noise)


def lower(shape: tuple[int, ...], factor: int) -> tuple[int, ...]:
    """The shape of the low resolution; a ValueError unless the factor divides both sides."""
    height, width, channels = shape
    require(
        factor >= 1 and height % factor == 0 and width % factor == 0,
        f"factor = {factor} for a picture of {(height, width)}; it must divide both sides",
    )
    return height // factor, width // factor, channels


def noisy(key: Key[Array, ""], y: Float[Array, "..."], noise: tuple[float, float]) -> Float[Array, "..."]:
    """y + s ε; y itself, to the last bit, where the largest s is 0."""
    if noise[1] == 0:
        return y
    return y + _level(key, noise) * jax.random.normal(jax.random.fold_in(key, 1), y.shape, y.dtype)


def noisy_range(noise: tuple[float, float]) -> tuple[float, float]:
    """That of pictures from −1 to 1 with such noise, but for one draw in 10^8."""
    return -1 - 6 * noise[1], 1 + 6 * noise[1]


def check_told(controls: Mapping[str, Control]) -> None:
    """Raise a ValueError unless each level of noise that is told is that of some picture."""
    noise = {name: control.noise for name, control in controls.items() if hasattr(control, "noise")}
    for name, control in controls.items():
        others = [value for other, value in noise.items() if other != name]
        if isinstance(control, NoiseLevel) and control.noise not in others:
            raise ValueError(
                f"conditions.{name} tells the level of noise from the range {control.noise}, but the pictures with noise "
                f"have {', '.join(map(str, others)) or 'none'}; give both the same"
            )


def _level(key: Key[Array, ""], noise: tuple[float, float]) -> Float[Array, ""]:
    return jax.random.uniform(jax.random.fold_in(key, 0), minval=noise[0], maxval=noise[1])


def check_noise(noise: tuple[float, float]) -> None:
    """Raise a ValueError unless it is a range."""
    require(
        0 <= noise[0] <= noise[1], f"noise = {noise}; allowed: (least, largest), from 0, in a model space of [-1, 1]"
    )


def agrees(samples: np.ndarray, examples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For ``evaluation.Agreement`` and the default options: whether the root mean square of D x̂ − D x is at most ``CLOSE``,
    and that number itself, for pictures in bytes, whose range is then from −1 to 1.
    """
    control = LowResolution(samples.shape[1:])
    key = jax.random.key(0)
    found, wanted = (jax.vmap(lambda x: control(key, x))(jnp.asarray(x)) for x in (samples, examples["data"]))
    error = np.asarray(jnp.sqrt(jnp.mean((found - wanted) ** 2, axis=(1, 2, 3))))
    return {"all": error <= CLOSE, "error": error}


CLOSE = 0.04
"""0.02 of the range from 0 to 1."""
