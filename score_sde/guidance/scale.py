"""The scale w of a guidance: a number, one for each sample, or a function of the log-SNR; in an interval of noise levels.

Numbers are leaves of the pytree that holds them, so they can be traced and differentiated, and another number does not
compile again. A function w(λ) of the log-SNRs (batch,) is part of the structure, unless it is itself a pytree, as
``OverLogSNR`` is. An interval limits guidance to noise levels σ/α in (low, high] (Kynkäänniemi et al. 2024); outside,
the guidance is as if absent.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from score_sde import pytree
from score_sde.checks import Sample, as_floating, as_time, is_concrete, per_sample, require
from score_sde.sde import SDE

Scale: TypeAlias = ArrayLike | Callable[[Array], ArrayLike]
Interval: TypeAlias = tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class OverLogSNR:
    """w(λ), linear between the points (``log_snrs``, ``scales``) and constant beyond the first and the last."""

    log_snrs: Sequence[float] | Array  # stored as arrays
    scales: Sequence[float] | Array

    def __post_init__(self):
        log_snrs, scales = as_floating(self.log_snrs), as_floating(self.scales)
        require(
            log_snrs.ndim == 1 and log_snrs.shape == scales.shape and len(log_snrs) >= 1,
            f"log_snrs has shape {log_snrs.shape}, scales {scales.shape}; give one scale for each log-SNR, (points,)",
        )
        for name, value in (("log_snrs", log_snrs), ("scales", scales)):
            require(
                not is_concrete(value) or bool(np.all(np.isfinite(np.asarray(value)))),
                f"{name} = {value}; allowed: finite numbers",
            )
        require(
            not is_concrete(log_snrs) or bool(np.all(np.diff(np.asarray(log_snrs)) > 0)),
            f"log_snrs = {log_snrs}; they must rise, from noise (−∞) to data (∞)",
        )
        object.__setattr__(self, "log_snrs", log_snrs)
        object.__setattr__(self, "scales", scales)

    def __call__(self, log_snr: Array) -> Array:
        """w at each log-SNR."""
        return jnp.interp(log_snr, jnp.asarray(self.log_snrs), jnp.asarray(self.scales))


pytree.register(OverLogSNR, static_unless_told=False)


def as_scale(scale: Scale, *, lowest: float = -math.inf, below: str = "") -> Scale:
    """The scale, checked, as a pytree. ``below``: what a scale below ``lowest`` would do, for the error message."""
    if callable(scale):
        plain = jax.tree_util.all_leaves([scale])
        return jax.tree_util.Partial(scale) if plain else scale
    scale = jnp.asarray(scale, float) if isinstance(scale, Sequence) else scale  # of a config
    require(
        jnp.ndim(scale) <= 1, f"scale has shape {jnp.shape(scale)}; give a number, or one for each sample, (batch,)"
    )
    if is_concrete(scale):
        values = np.asarray(scale)
        require(bool(np.all(np.isfinite(values))), f"scale = {scale}; it must be finite")
        require(bool(np.all(values >= lowest)), f"scale = {scale}; allowed: {lowest:g} or more. {below}".rstrip())
    return scale


def check_interval(interval: Interval) -> None:
    """Raise a ValueError unless the interval is (low, high) in σ/α, or None."""
    if interval is not None:
        low, high = interval
        require(0 <= low < high, f"interval = {interval}; it must be (low, high) with 0 <= low < high, in σ/α")


def scale_at(scale: Scale, interval: Interval, sde: SDE, t: ArrayLike, x: Sample, *, outside: float) -> Array:
    """w at t, shaped to multiply x; ``outside`` of the interval it is the value that means no guidance."""
    times = jnp.broadcast_to(as_time(t, sde.t_max, x), x.shape[:1])
    w = scale(sde.log_snr(times)) if callable(scale) else scale
    shape = jnp.shape(w)
    require(
        shape in ((), times.shape),
        f"scale has shape {shape} beside x of shape {x.shape}; give a number, or one for each sample, {times.shape}",
    )
    w = jnp.broadcast_to(jnp.asarray(w, float), times.shape)
    if interval is not None:
        low, high = interval
        ratio = sde.sigma(times) / sde.alpha(times)
        w = jnp.where((low < ratio) & (ratio <= high), w, outside)
    return per_sample(w, x)


def extrapolated(start: tuple, end: tuple, w: Array) -> tuple:
    """start + w (end − start) of x̂ and of ε̂; what a model says beside them is that of ``end``."""
    (x0, noise, *_), (x0_end, noise_end, *outputs) = start, end
    return (x0 + w * (x0_end - x0), noise + w * (noise_end - noise), *outputs)
