"""Predictors: one step of the reverse process from t to s < t. They return the new x, and x without the step's noise.

A predictor is a frozen dataclass with ``step(model, x, t, s, noise, condition) -> (x_s, mean)``; t and s are () or
(batch,). You can pass your own predictor to ``predictor_corrector`` without registering it.
"""

import dataclasses
from typing import Literal, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from score_sde.checks import Sample, per_sample, require
from score_sde.denoiser import Condition, Denoiser
from score_sde.sde import SDE

Time = Float[Array, "..."]


@runtime_checkable
class Predictor(Protocol):
    """The interface of a predictor for ``predictor_corrector``."""

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]: ...


@dataclasses.dataclass(frozen=True)
class EulerMaruyama:
    """Euler–Maruyama for  dx = [f x − (1 + λ²)/2 g² ∇log p] dt + λ g dW,  λ = ``stochasticity``.

    λ = 1 is the reverse SDE (Song et al. 2021, eq. 6), λ = 0 the probability flow (eq. 13).
    """

    stochasticity: int | float = 1.0

    def __post_init__(self):
        check_stochasticity(self.stochasticity)

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]:
        dt = per_sample(t - s, x)
        g = per_sample(model.sde.diffusion(t), x)
        weight = (1 + self.stochasticity**2) / 2
        reverse_drift = model.sde.drift(x, t) - weight * g**2 * model.score(x, t, condition)
        mean = x - reverse_drift * dt
        return mean + self.stochasticity * g * jnp.sqrt(dt) * noise, mean


@dataclasses.dataclass(frozen=True)
class ReverseDiffusion:
    """The forward chain x_t = x_s + F + G ε reversed in the same discretization (Song et al. 2021, eq. 46):

    x_s = x_t − F + G² ∇log p + G z;  the probability flow (appendix D.3) has half the score and no noise. F and G come
    from ``sde.discretize``: DDPM's chain for VP, SMLD's for VE, Euler's for all others.
    """

    probability_flow: bool = False

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]:
        F, G = model.sde.discretize(x, t, s)
        G = per_sample(G, x)
        score = model.score(x, t, condition)
        if self.probability_flow:
            mean = x - F + 0.5 * G**2 * score
            return mean, mean
        mean = x - F + G**2 * score
        return mean + G * noise, mean


@dataclasses.dataclass(frozen=True)
class Ancestral:
    """Ancestral sampling of the discrete chain x_t = k x_s + G ε (Ho et al. 2020, alg. 2; Song et al. 2021, eq. 4, 47):

    x_s = (x_t + G² ∇log p)/k + √v z,  v = G² ("forward", the paper's VP) or v = G² σ_s²/σ_t² ("posterior", the
    paper's VE: the variance of x_s given x_t and x_0), where σ_t² = k² σ_s² + G².
    """

    variance: Literal["posterior", "forward"] = "posterior"

    def __post_init__(self):
        require(
            self.variance in ("posterior", "forward"), f'variance = {self.variance!r}; allowed: "posterior", "forward"'
        )

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]:
        kept, G = chain(model.sde, t, s)
        sigma_t = model.sde.discrete_sigma(t)
        v = G**2
        if self.variance == "posterior":
            v = v * jnp.maximum(sigma_t**2 - G**2, 0) / (kept * sigma_t) ** 2
        mean = (x + per_sample(G**2, x) * model.score(x, t, condition)) / per_sample(kept, x)
        return mean + per_sample(jnp.sqrt(v), x) * noise, mean


def chain(sde: SDE, t: Time, s: Time) -> tuple[Time, Time]:
    """(k, G) of the discrete chain's step from s to t, x_t = k x_s + G ε. F is linear in x, so F(1) = k − 1."""
    t = jnp.asarray(t)
    one = jnp.ones(t.shape or (1,), t.dtype)
    F, G = sde.discretize(one, t, s)
    return (one + F).reshape(t.shape), G


def check_stochasticity(stochasticity: int | float) -> None:
    """Raise a ValueError unless 0 <= λ <= 1."""
    require(
        0 <= stochasticity <= 1,
        f"stochasticity = {stochasticity}; allowed: 0 (probability-flow ODE) to 1 (reverse SDE)",
    )
