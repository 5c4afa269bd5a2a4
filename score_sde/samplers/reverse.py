"""The family of reverse processes from the probability flow to the reverse SDE, by Euler–Maruyama or Heun's rule."""

import dataclasses
from typing import Literal, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Key

from score_sde.checks import Sample, per_sample, require
from score_sde.denoiser import Condition, Denoiser
from score_sde.samplers import grids
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.options import Options
from score_sde.samplers.predictors import Time, check_stochasticity
from score_sde.samplers.samples import Samples
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class Reverse(Method):
    """dx = [f x − (1 + λ²)/2 g² ∇log p] dt + λ g dW = [velocity + λ² g²/(2σ) ε̂] dt + λ g dW, from t to s:

    Euler  x' = x_t − dt d(x_t, t) + λ g_t √dt z
    Heun   x_s = x_t − dt [d(x_t, t) + d(x', s)]/2 + λ √((g_t² + g_s²)/2 dt) z,  with the same z
    """

    stochasticity: float
    rule: Literal["euler", "heun"]

    def default_grid(self, sde: SDE, steps: int):
        return grids.native(sde, steps)

    @property
    def draws(self) -> int:
        return int(self.stochasticity > 0)

    @property
    def evaluations(self) -> int:
        return 1 if self.rule == "euler" else 2

    def plan(self, sde, times):
        return {"t": times[:-1], "s": times[1:]}

    def step(self, model, x, row, noise, memory, condition):
        t, s = row["t"], row["s"]
        dt = t - s
        x0, drift = self.drift(model, x, t, condition)
        mean = x - dt * drift
        z = noise[0] if self.draws else jnp.zeros_like(x)
        g_t = model.sde.diffusion(t) if self.draws else jnp.zeros_like(t)
        x_s = mean + self.stochasticity * g_t * jnp.sqrt(dt) * z
        if self.rule == "heun":
            _, drift_s = self.drift(model, x_s, s, condition)
            mean = x - dt * (drift + drift_s) / 2
            g_s = model.sde.diffusion(s) if self.draws else jnp.zeros_like(s)
            x_s = mean + self.stochasticity * jnp.sqrt((g_t**2 + g_s**2) / 2 * dt) * z
        return Step(x_s, mean, x0)

    def drift(self, model: Denoiser, x: Sample, t: Time, condition: Condition) -> tuple[Sample, Sample]:
        """x̂ and α' x̂ + σ' ε̂ + λ² g²/(2σ) ε̂."""
        sde = model.sde
        x0, eps = model.predict(x, t, condition)
        weight = sde.sigma_dot(t)
        if self.draws:
            weight = weight + self.stochasticity**2 * sde.diffusion(t) ** 2 / (2 * sde.sigma(t))
        return x0, per_sample(sde.alpha_dot(t), x) * x0 + per_sample(weight, x) * eps


def reverse_sde(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    steps: int = 1000,
    stochasticity: int | float = 1.0,
    rule: Literal["euler", "heun"] = "euler",
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples of the reverse SDE (stochasticity λ = 1), the probability flow (0), or any in between.

    The default is ``grids.native``. Heun's rule makes two evaluations per step and has second order for λ = 0.
    """
    check_stochasticity(stochasticity)
    require(rule in ("euler", "heun"), f'rule = {rule!r}; allowed: "euler", "heun"')
    return solve(Reverse(float(stochasticity), rule), model, key, n, shape, steps, **options)
