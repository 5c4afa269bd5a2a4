"""Twists: estimates p̃(y | x_t) that steer particles, with the shift (σ²/α) ∇ log p̃ of x̂ that they propose.

Particles are right for any twist; a better one needs fewer of them: one that is too sharp, of which the truth is no bounded
multiple, can need very many.
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde import pytree
from score_sde.checks import Sample, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.inverse.likelihood import GaussianLikelihood
from score_sde.inverse.point import Point, point_at

MOST = 1024
"""The largest number of measurements whose covariance is built as a matrix."""
Found = tuple[Sample, Sample, Sample, Float[Array, "batch"]]


@runtime_checkable
class Twist(Protocol):
    """What particles need to know of y."""

    def __call__(self, model: Denoiser, x: Sample, t: ArrayLike, y: Array, condition: Condition) -> Found:
        """(x̂, ε̂, the shift of x̂, log p̃(y | x_t)), from one forward pass."""
        ...

    def target(self, y: Array, x0: Sample) -> Float[Array, "batch"]:
        """log p(y | x_0), up to a constant: what the last weight makes exact."""
        ...


@dataclasses.dataclass(frozen=True)
class Moments:
    """N(y; A x̂, A K Aᵀ + Σ). With K = C the moment-matching twist."""

    likelihood: GaussianLikelihood
    covariance: Any

    def __call__(self, model: Denoiser, x: Sample, t: ArrayLike, y: Array, condition: Condition) -> Found:
        x0, noise, r, at = point_at(model, self.likelihood, x, t, y, condition)
        w, log_p = self._normal(at, r)
        return x0, noise, at.tweedie(at.pull(w)), log_p

    def target(self, y: Array, x0: Sample) -> Float[Array, "batch"]:
        return self.likelihood.log_prob(y, x0)

    def _normal(self, at: Point, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        """(S⁻¹ r, log N(r; 0, S)) with S = A K Aᵀ + Σ as a matrix, made symmetric."""
        flat = r.reshape(len(r), -1)
        m = flat.shape[1]
        require(
            m <= MOST, f"{m} measurements; a twist by moments builds their covariance, for at most {MOST}: use Noise()"
        )
        system = at.system(self.covariance.product(at))
        columns = jax.lax.map(lambda one: system(jnp.broadcast_to(one.reshape(r.shape[1:]), r.shape)), jnp.eye(m))
        S = jnp.moveaxis(columns.reshape(m, len(r), m), 0, 2)
        factor = jnp.linalg.cholesky((S + jnp.swapaxes(S, 1, 2)) / 2)
        along = jax.scipy.linalg.solve_triangular(factor, flat[..., None], lower=True)
        w = jax.scipy.linalg.solve_triangular(jnp.swapaxes(factor, 1, 2), along, lower=False)[..., 0]
        log_volume = jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1)
        log_p = -0.5 * jnp.sum(along[..., 0] ** 2, axis=1) - log_volume - 0.5 * m * jnp.log(2 * jnp.pi)
        return w.reshape(r.shape), log_p


@dataclasses.dataclass(frozen=True)
class Noise:
    """N(y; A x̂, Σ + γ σ²/α² I): that of twisted diffusion with γ = 1 (Wu et al. 2023, section 3.2)."""

    likelihood: GaussianLikelihood
    gamma: float = 1.0

    def __call__(self, model: Denoiser, x: Sample, t: ArrayLike, y: Array, condition: Condition) -> Found:
        alpha, sigma = (jnp.broadcast_to(a(t), x.shape[:1]).astype(x.dtype) for a in (model.sde.alpha, model.sde.sigma))
        ratio = sigma**2 / alpha**2

        def log_p(x0: Sample) -> Float[Array, "batch"]:
            variance = per_sample(self.gamma * ratio, y) + self.likelihood.variance(y)
            squared = self.likelihood.residual(y, x0) ** 2 / variance + jnp.log(2 * jnp.pi * variance)
            return -0.5 * jnp.sum(squared.reshape(len(y), -1), axis=1)

        x0, pullback, noise = jax.vjp(lambda x: model.predict(x, t, condition), x, has_aux=True)
        value, gradient = log_p(x0), jax.grad(lambda x0: log_p(x0).sum())(x0)
        return x0, noise, per_sample(sigma**2 / alpha, x) * pullback(gradient)[0], value

    def target(self, y: Array, x0: Sample) -> Float[Array, "batch"]:
        return self.likelihood.log_prob(y, x0)


@dataclasses.dataclass(frozen=True)
class Unsteered:
    """No twist: particles of the prior, weighted at the end (the bootstrap filter)."""

    likelihood: GaussianLikelihood

    def __call__(self, model: Denoiser, x: Sample, t: ArrayLike, y: Array, condition: Condition) -> Found:
        x0, noise = model.predict(x, t, condition)
        return x0, noise, jnp.zeros_like(x), jnp.zeros(len(x), x.dtype)

    def target(self, y: Array, x0: Sample) -> Float[Array, "batch"]:
        return self.likelihood.log_prob(y, x0)


@dataclasses.dataclass(frozen=True)
class Tilt:
    """For the law p(x_0) p(y | x_0)^w by a classifier, which classifier-free guidance does not have: p(y | x_t)^steer.

    What steers perfectly is E[p(y | x_0)^w | x_t], which lies between p(y | x_t)^w and p(y | x_t) (Jensen, and p <= 1). From
    the smaller one the weights have no bound: few particles are where the law still needs them, and their error falls
    slower than 1/√K. So ``steer`` is by default the power of the larger, 1 for w > 1 and w for w < 1.
    """

    classifier: Any  # with log_prob(x, t, y, condition), such as guidance.NoisyClassifier
    scale: float = 1.0
    steer: float | None = None

    def __call__(self, model: Denoiser, x: Sample, t: ArrayLike, y: Array, condition: Condition) -> Found:
        alpha, sigma = (jnp.broadcast_to(a(t), x.shape[:1]).astype(x.dtype) for a in (model.sde.alpha, model.sde.sigma))
        power = jnp.minimum(self.scale, 1.0) if self.steer is None else self.steer

        def log_p(x: Sample) -> tuple[Float[Array, ""], Float[Array, "batch"]]:
            each = power * self.classifier.log_prob(x, t, y, condition)
            return each.sum(), each

        x0, noise = model.predict(x, t, condition)
        gradient, value = jax.grad(log_p, has_aux=True)(x)
        return x0, noise, per_sample(sigma**2 / alpha, x) * gradient, value

    def target(self, y: Array, x0: Sample) -> Float[Array, "batch"]:
        return self.scale * self.classifier.log_prob(x0, self.classifier.sde.t_min, y, None)


for _class in (Moments, Noise, Unsteered, Tilt):
    pytree.register(_class, static_unless_told=False)
