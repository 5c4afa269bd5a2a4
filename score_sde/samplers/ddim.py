"""DDIM (Song, Meng & Ermon 2021), for every SDE."""

import dataclasses
from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, Key

from score_sde.checks import per_sample, require
from score_sde.denoiser import Denoiser
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.options import Options
from score_sde.samplers.samples import Samples


@dataclasses.dataclass(frozen=True)
class DDIM(Method):
    """x_s = α_s x̂ + √(σ_s² − c²) ε̂ + c z,  c² = η² σ_s²/σ_t² σ_{t|s}²   (eq. 12 and 16)."""

    eta: float

    @property
    def draws(self) -> int:
        return int(self.eta > 0)

    def plan(self, sde, times):
        t, s = times[:-1], times[1:]
        sigma_s = sde.sigma(s)
        c = self.eta * sigma_s / sde.sigma(t) * jnp.sqrt(sde.transition(t, s)[1])
        return {"t": t, "s": s, "alpha_s": sde.alpha(s), "rest": jnp.sqrt(sigma_s**2 - c**2), "c": c}

    def step(self, model, x, row, noise, memory, condition):
        x0, eps = model.predict(x, row["t"], condition)
        mean = per_sample(row["alpha_s"], x) * x0 + per_sample(row["rest"], x) * eps
        return Step(mean + per_sample(row["c"], x) * noise[0] if self.draws else mean, mean, x0)


def ddim(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    steps: int = 100,
    eta: int | float = 0.0,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples with DDIM: deterministic with eta = 0, ancestral sampling with eta = 1. First order.

    One evaluation per step, and one for the final denoising.
    """
    require(0 <= eta <= 1, f"eta = {eta}; allowed: 0 (deterministic) to 1 (ancestral)")
    return solve(DDIM(float(eta)), model, key, n, shape, steps, **options)
