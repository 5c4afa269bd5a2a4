"""The common interface of models, for samplers, losses and likelihoods: the posterior mean and the noise.

Given x_t = α x_0 + σ ε, a denoiser computes x̂ = E[x_0 | x_t] and ε̂ = E[ε | x_t], with x_t = α x̂ + σ ε̂, and so

    score     ∇ log p_t(x_t) = −ε̂/σ                 (Tweedie's formula)
    velocity  dx/dt = α' x̂ + σ' ε̂                   (the probability-flow ODE; Song et al. 2021, eq. 13)

The velocity is finite even if α(t_max) = 0, where drift and diffusion are not. Both x̂ and ε̂ are primitives: a score
computed from x̂ loses precision at small σ, a mean computed from ε̂ at small α.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde import pytree
from score_sde.checks import Sample, per_sample
from score_sde.conditions import Condition
from score_sde.sde import SDE


class Cost(NamedTuple):
    """The cost of one call of a denoiser: forward passes and pullbacks through networks."""

    forward: int = 1
    pullbacks: int = 0

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        return Cost(self.forward + other.forward, self.pullbacks + other.pullbacks)


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """E[x_0 | x_t] and E[ε | x_t] under an SDE. Subclasses define ``predict``, or one of ``denoise`` and ``noise``.

    x is (batch, *shape), t is () or (batch,), and the leaves of a condition are (batch, ...). A denoiser is a pytree:
    its fields are leaves unless declared ``field(metadata={"static": True})``.
    """

    sde: SDE

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        pytree.register(cls, static_unless_told=False)

    @property
    def cost(self) -> Cost:
        """The cost of one call of ``predict``. Samplers multiply it by the number of calls; wrappers add to it."""
        return Cost()

    @property
    def defined_without_signal(self) -> bool:
        """Whether x̂ is defined where α = 0. A network that predicts the noise or the score gives 0/0 there."""
        return True

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        """(x̂, ε̂) of one evaluation: one from the method of the subclass, the other from x = α x̂ + σ ε̂."""
        alpha, sigma = (per_sample(a, x) for a in (self.sde.alpha(t), self.sde.sigma(t)))
        if type(self).denoise is not Denoiser.denoise:
            x0 = self.denoise(x, t, condition)
            return x0, (x - alpha * x0) / sigma
        if type(self).noise is not Denoiser.noise:
            noise = self.noise(x, t, condition)
            return (x - sigma * noise) / alpha, noise
        raise TypeError(f"{type(self).__name__} defines none of predict, denoise and noise; define one of them")

    def denoise(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """x̂ = E[x_0 | x_t = x]."""
        return self.predict(x, t, condition)[0]

    def noise(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """ε̂ = E[ε | x_t = x]."""
        return self.predict(x, t, condition)[1]

    def score(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """∇ log p_t(x) = −ε̂/σ."""
        return -self.noise(x, t, condition) / per_sample(self.sde.sigma(t), x)

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        """(x̂, ε̂ = −σ_k score, further outputs by name) for x on the SDE's discrete chain.

        Its α_k and σ_k, which stand between x̂ and ε̂, differ slightly from α(t) and σ(t).
        """
        alpha, sigma = (per_sample(a, x) for a in (self.sde.discrete_alpha(t), self.sde.discrete_sigma(t)))
        noise = -sigma * self.score(x, t, condition)
        return (x - sigma * noise) / alpha, noise, {}

    def velocity(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """dx/dt = α' x̂ + σ' ε̂."""
        x0, noise = self.predict(x, t, condition)
        return per_sample(self.sde.alpha_dot(t), x) * x0 + per_sample(self.sde.sigma_dot(t), x) * noise

    def posterior(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Callable[[Sample], Sample]]:
        """The mean of x_0 | x_t = x, and v -> Cov[x_0 | x_t] v = (σ²/α) (∂x̂/∂x)ᵀ v  (Tweedie's second formula)."""
        x0, pullback = jax.vjp(lambda x: self.denoise(x, t, condition), x)
        scale = per_sample(self.sde.sigma(t) ** 2 / self.sde.alpha(t), x)
        return x0, lambda v: scale * pullback(v)[0]

    def with_dropout(self, keys: Key[Array, "batch"]) -> "Denoiser":
        """The denoiser with dropout enabled, one key per sample; a denoiser without a network is unchanged."""
        return self
