"""Posterior denoisers: E[x_0 | x_t, y] from E[x_0 | x_t] and an estimate of p(y | x_t).

With r = y − A(x̂), a model K of Cov[x_0 | x_t], and C = (σ²/α) ∂x̂/∂x the true one,

    x̂_y = x̂ + C Aᵀ (A K Aᵀ + Σ)⁻¹ r        "through" the network: (σ²/α) ∇ log N(y; A x̂, A K Aᵀ + Σ) with K held fixed
    x̂_y = x̂ + K Aᵀ (A K Aᵀ + Σ)⁻¹ r        otherwise: no derivative of the network

A nonlinear A is linearised at x̂. The result is a denoiser: every sampler and the likelihood take it, and y is data beside
x, condition={"y": y}.
"""

import dataclasses
import math
from collections.abc import Mapping

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde.checks import Sample, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Cost, Denoiser, Wrapper
from score_sde.inverse.covariances import Covariance, Tweedie
from score_sde.inverse.likelihood import GaussianLikelihood, told
from score_sde.inverse.point import point_at


@dataclasses.dataclass(frozen=True)
class PosteriorDenoiser(Wrapper):
    """E[x_0 | x_t, y], made by ``condition``."""

    likelihood: GaussianLikelihood
    covariance: Covariance
    through: bool = dataclasses.field(metadata={"static": True})
    tolerance: float | None = dataclasses.field(metadata={"static": True})
    measurements: int = dataclasses.field(default=0, metadata={"static": True})

    @property
    def cost(self) -> Cost:
        return self.model.cost + Cost(0, self.covariance.pullbacks(self.measurements) + self.through)

    @property
    def defined_without_signal(self) -> bool:
        return False  # σ²/α

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        x0, noise, shift, residual = self._shifted(x, t, condition)
        if self.tolerance is not None:
            shift = jnp.where(per_sample(residual, x) <= self.tolerance, shift, jnp.nan)
        alpha, sigma = (per_sample(a(t), x) for a in (self.sde.alpha, self.sde.sigma))
        return x0 + shift, noise - alpha / sigma * shift

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        alpha, sigma = (per_sample(a(t), x) for a in (self.sde.discrete_alpha, self.sde.discrete_sigma))
        _, rest = told(condition, "a posterior")
        x0, noise, outputs = self.model.on_chain(x, t, rest)
        shift = self._shifted(x, t, condition)[2]
        return x0 + shift, noise - alpha / sigma * shift, outputs

    def residual(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Float[Array, "batch"]:
        """How well the linear system is solved at x_t: ‖S w − r‖/‖r‖ of each sample."""
        return self._shifted(x, t, condition)[3]

    def _shifted(
        self, x: Sample, t: ArrayLike, condition: Condition
    ) -> tuple[Sample, Sample, Sample, Float[Array, "batch"]]:
        """(x̂, ε̂, x̂_y − x̂, relative residual), with one forward pass."""
        y, rest = told(condition, "a posterior")
        x0, noise, r, at = point_at(self.model, self.likelihood, x, t, y, rest)
        w, residual = self.covariance.solve(at, r)
        outside = at.tweedie if self.through else self.covariance.product(at)
        return x0, noise, outside(at.pull(w)), residual


def condition(
    model: Denoiser,
    likelihood: GaussianLikelihood,
    covariance: Covariance | None = None,
    *,
    through: bool = True,
    tolerance: float | None = None,
) -> PosteriorDenoiser:
    """The denoiser of x_0 given y, which it reads from condition["y"]; other leaves go on to the model.

    ``covariance``: of ``score_sde.inverse``, by default ``Tweedie()``. ``through``: whether the derivative of the network
    stands outside the solve. ``tolerance``: a sample whose linear system is left with a larger relative residual becomes
    NaN, which samplers report as failed; None: it is used as it is.
    """
    require(tolerance is None or tolerance > 0, f"tolerance = {tolerance}; allowed: above 0, or None")
    chosen = Tweedie() if covariance is None else covariance
    shape = getattr(likelihood.A, "measured", ())
    return PosteriorDenoiser(model.sde, model, likelihood, chosen, through, tolerance, math.prod(shape))
