"""Adaptive projected guidance (Sadat et al. 2024, "Eliminating oversaturation ...", algorithm 1), without its momentum.

With x̂_c and x̂_u told and not told the condition, Δ = x̂_c − x̂_u is shortened and split along and across x̂_c, each
sample by its own norms:

    Δ ← Δ min(1, r/‖Δ‖),   Δ∥ = ⟨Δ, x̂_c⟩ x̂_c/‖x̂_c‖²,   Δ⊥ = Δ − Δ∥,     x̂ = x̂_c + (w − 1) (Δ⊥ + η Δ∥)

Δ∥ scales the image, which saturates it at large w; η = 0 leaves it out. With η = 1 and no r this is classifier-free
guidance, w = 1 is the conditional model. Both steps are linear maps of Δ given x̂_c and ‖Δ‖, and ε̂_c − ε̂_u = −(α/σ) Δ,
so ε̂ = ε̂_c + (w − 1) times the same map of ε̂_c − ε̂_u, without cancellation at small σ.

The paper also averages Δ over the steps of a sampler, with a negative momentum. That is a state between calls, which a
denoiser does not have; it is left out.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jax.typing import ArrayLike

from score_sde.checks import Sample, per_sample, require, sum_over_sample
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.guidance.scale import Interval, Scale, as_scale, check_interval, scale_at
from score_sde.guidance.told import Contrast, instead


@dataclasses.dataclass(frozen=True)
class Projected(Contrast):
    """A guided denoiser, made by ``projected``."""

    eta: ArrayLike = 0.0
    norm: ArrayLike | None = None

    def _guided(self, evaluate: Callable, x: Sample, t: ArrayLike, condition: Condition):
        (x0, noise, *outputs), (other, other_noise, *_) = self._both(evaluate, x, t, condition)
        w = scale_at(self.scale, self.interval, self.sde, t, x, outside=1.0)
        update, noise_update = self._mapped(x0, x0 - other, noise - other_noise)
        return (x0 + (w - 1) * update, noise + (w - 1) * noise_update, *outputs)

    def _mapped(self, x0: Sample, delta: Sample, noise_delta: Sample) -> tuple[Sample, Sample]:
        """Δ⊥ + ηΔ∥ of the shortened Δ, and the same map of the difference of the noises."""
        length = sum_over_sample(x0**2)
        squared = sum_over_sample(delta**2)
        factor = jnp.ones_like(squared)
        if self.norm is not None:
            long = squared > jnp.asarray(self.norm, squared.dtype) ** 2
            factor = jnp.where(long, self.norm / jnp.sqrt(jnp.where(long, squared, 1.0)), factor)

        def mapped(v: Sample) -> Sample:
            along = sum_over_sample(v * x0) / jnp.where(length > 0, length, 1.0)
            return per_sample(factor, v) * (v - (1 - self.eta) * per_sample(along, v) * x0)

        return mapped(delta), mapped(noise_delta)


def projected(
    model: Denoiser,
    scale: Scale,
    *,
    null: Mapping[str, ArrayLike] | None = None,
    negative: Mapping[str, ArrayLike | str] | None = None,
    eta: int | float = 0.0,
    norm: int | float | None = None,
    interval: Interval = None,
) -> Projected:
    """The model guided with scale w, across x̂ alone (``eta`` = 0) and by at most ``norm`` per unit of w − 1.

    ``null``, ``negative`` and ``interval`` are those of ``classifier_free``. A norm is in units of model space over a whole
    sample: it grows with √(number of values).
    """
    require(math.isfinite(eta), f"eta = {eta}; it must be finite: 0 leaves out the part of Δ along x̂, 1 keeps it")
    require(norm is None or 0 < norm < math.inf, f"norm = {norm}; allowed: a positive number, or None for no limit")
    values, names = instead(null, negative)
    check_interval(interval)
    scale = as_scale(scale, lowest=0.0, below="w = 1 is the conditional model, w > 1 guides")
    return Projected(model.sde, model, scale, values, interval, names, eta, norm)
