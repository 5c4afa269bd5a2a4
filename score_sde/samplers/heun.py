"""Heun's method of EDM (Karras et al. 2022, algorithms 1 and 2), for every SDE."""

import dataclasses
import math
from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, Key

from score_sde.checks import per_sample, require
from score_sde.denoiser import Denoiser
from score_sde.samplers import grids
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.options import Options
from score_sde.samplers.samples import Samples
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class Heun(Method):
    """In y = x/α the probability flow is dy/dσ̃ = ε̂ with σ̃ = σ/α, for every SDE. One step from t to s:

    churn  σ̂ = (1 + γ) σ̃_t,  ŷ = y_t + √(σ̂² − σ̃_t²) S_noise z,  γ = min(S_churn/N, √2 − 1) where S_min <= σ̃_t <= S_max
    Euler  y' = ŷ + (σ̃_s − σ̂) ε̂(ŷ, t̂)
    Heun   y_s = ŷ + (σ̃_s − σ̂) [ε̂(ŷ, t̂) + ε̂(y', s)]/2

    Here ε̂(y, t) is the model at x = α(t) y, and t̂ is the time at which σ/α = σ̂.
    """

    s_churn: float
    s_min: float
    s_max: float
    s_noise: float

    def default_grid(self, sde: SDE, steps: int):
        return grids.karras(sde, steps)

    @property
    def draws(self) -> int:
        return int(self.s_churn > 0)

    @property
    def evaluations(self) -> int:
        return 2

    @property
    def knows_x0(self) -> bool:
        return not self.draws  # with churn it is known only at the raised state α(t̂) ŷ

    def plan(self, sde, times):
        ratio = jnp.exp(-sde.log_snr(times) / 2)  # σ̃
        t, s, at_t, at_s = times[:-1], times[1:], ratio[:-1], ratio[1:]
        rows = {"s": s, "alpha_s": sde.alpha(s)}
        if not self.draws:
            return rows | {"t": t, "t_hat": t, "alpha_hat": sde.alpha(t), "step_size": at_s - at_t}
        gamma = min(self.s_churn / len(t), math.sqrt(2) - 1)
        lifted = jnp.where((at_t >= self.s_min) & (at_t <= self.s_max), (1 + gamma) * at_t, at_t)
        top = jnp.exp(-sde.log_snr(sde.t_max_sampling) / 2)
        lifted = jnp.maximum(jnp.minimum(lifted, top), at_t)  # never noisier than the start of sampling
        t_hat = jnp.where(lifted > at_t, sde.time_of_log_snr(-2 * jnp.log(lifted)), t)
        alpha_hat = sde.alpha(t_hat)
        return rows | {
            "t": t,
            "t_hat": t_hat,
            "alpha_hat": alpha_hat,
            "step_size": at_s - lifted,
            "raise": alpha_hat / sde.alpha(t),
            "churn": alpha_hat * jnp.sqrt(jnp.maximum(lifted**2 - at_t**2, 0.0)) * self.s_noise,
        }

    def step(self, model, x, row, noise, memory, condition):
        alpha_hat, alpha_s, step_size = (per_sample(row[name], x) for name in ("alpha_hat", "alpha_s", "step_size"))
        if self.draws:
            x = per_sample(row["raise"], x) * x + per_sample(row["churn"], x) * noise[0]
        x0, slope_hat = model.predict(x, row["t_hat"], condition)
        y = x / alpha_hat
        slope_s = model.noise(alpha_s * (y + step_size * slope_hat), row["s"], condition)
        x = alpha_s * (y + step_size * (slope_hat + slope_s) / 2)
        return Step(x, x, x0 if self.knows_x0 else None)


def heun(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    steps: int = 32,
    s_churn: int | float = 0.0,
    s_min: int | float = 0.0,
    s_max: int | float = math.inf,
    s_noise: int | float = 1.0,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples with EDM's sampler: second order, two evaluations per step, one more for the final denoising.

    Deterministic unless S_churn > 0. S_min and S_max are bounds on σ/α. The default grid is EDM's, ρ = 7 in σ/α;
    EDM's 18 steps suit its own range of σ/α. The cosine and straight paths have a wider range and need more.
    """
    require(s_churn >= 0, f"s_churn = {s_churn}; it may not be negative")
    require(0 <= s_min <= s_max, f"s_min = {s_min}, s_max = {s_max}: 0 <= s_min <= s_max")
    require(s_noise > 0, f"s_noise = {s_noise}; it must be positive (1.003 to 1.007 in the paper)")
    return solve(
        Heun(float(s_churn), float(s_min), float(s_max), float(s_noise)), model, key, n, shape, steps, **options
    )
