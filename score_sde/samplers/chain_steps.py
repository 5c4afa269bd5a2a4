"""Predictors on the levels of a discrete chain, as the models of iDDPM and ADM are sampled; see ``grids.respaced``.

Both know where a classifier's gradient belongs: guidance adds w ∇ log p(y | x_t), the model's output "pull", to the mean
of the ancestral step times its variance (Dhariwal & Nichol 2021, algorithm 1), and to the score in DDIM (algorithm 2).
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array

from score_sde.checks import Sample, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.samplers.predictors import Time, chain
from score_sde.sde import SDE
from score_sde.sde.reverse_step import ReverseStep, learned, reverse_step


@dataclasses.dataclass(frozen=True)
class LearnedVariance:
    """Ancestral sampling with the variance that the model's output "variance" says (Nichol & Dhariwal 2021, section 3.1).

    ``clip``: x̂ is kept in [−clip, clip] before guidance, as the published models are sampled with 1.
    """

    clip: int | float | None = None

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]:
        at = Predicted.at(model, x, t, condition, self.clip)
        step = chain_step(model.sde, t, s)
        log_variance = step.log_variance(learned(at.outputs))
        mean = step.mean(x, at.x0) + jnp.exp(log_variance) * at.pull
        return mean + jnp.exp(log_variance / 2) * noise, mean


@dataclasses.dataclass(frozen=True)
class ChainDDIM:
    """DDIM between the α_k, σ_k of the chain (Song, Meng & Ermon 2021, eq. 12), for t and s:

        x_s = α_s x̂ + √(σ_s² − η² v) ε̂ + η √v z,   v the variance of x_s given x_t and x_0.

    ``samplers.ddim`` is the same between α(t), σ(t), with any time grid. ``clip``: as in ``LearnedVariance``.
    """

    eta: int | float = 0.0
    clip: int | float | None = None

    def __post_init__(self):
        require(0 <= self.eta <= 1, f"eta = {self.eta}; allowed: 0 (deterministic) to 1 (ancestral)")

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]:
        at = Predicted.at(model, x, t, condition, self.clip)
        x0 = at.x0 + at.sigma**2 / at.alpha * at.pull
        eps = (x - at.alpha * x0) / at.sigma
        alpha_s, sigma_s = chain_before(model.sde, s)
        v = chain_step(model.sde, t, s).small
        rest = jnp.sqrt(jnp.maximum(sigma_s**2 - self.eta**2 * v, 0))
        mean = per_sample(alpha_s, x) * x0 + per_sample(rest, x) * eps
        return mean + self.eta * per_sample(jnp.sqrt(v), x) * noise, mean


@dataclasses.dataclass(frozen=True)
class Predicted:
    """What a model says at x_t of the chain: x̂ without a classifier's pull, perhaps clipped; the pull, 0 without one."""

    x0: Sample
    pull: Sample
    outputs: dict[str, Sample]
    alpha: Array
    sigma: Array

    @classmethod
    def at(cls, model: Denoiser, x: Sample, t: Time, condition: Condition, clip: int | float | None) -> "Predicted":
        x0, _, outputs = model.on_chain(x, t, condition)
        alpha, sigma = (per_sample(a, x) for a in (model.sde.discrete_alpha(t), model.sde.discrete_sigma(t)))
        pull = outputs.get("pull", jnp.zeros_like(x))
        x0 = x0 - sigma**2 / alpha * pull
        x0 = x0 if clip is None else jnp.clip(x0, -clip, clip)
        return cls(x0, pull, dict(outputs), alpha, sigma)


def chain_step(sde: SDE, t: Time, s: Time) -> ReverseStep:
    """The chain's step from t to s; s < 0 is the data."""
    t = jnp.asarray(t)
    return reverse_step(*chain(sde, t, s), *chain_before(sde, s), sde.discrete_sigma(t))


def chain_before(sde: SDE, s: Time) -> tuple[Time, Time]:
    """(α_s, σ_s) on the chain; (1, 0) for s < 0, the data."""
    s = jnp.asarray(s)
    inside = jnp.maximum(s, 0)
    return jnp.where(s < 0, 1.0, sde.discrete_alpha(inside)), jnp.where(s < 0, 0.0, sde.discrete_sigma(inside))
