"""Mixtures of isotropic Gaussians.

With p(x_0) = Σ_k w_k N(m_k, s_k² I), the density of x_t = α x_0 + σ ε is Σ_k w_k N(α m_k, V_k I), V_k = α² s_k² + σ².
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from score_sde import pytree
from score_sde.analytic.full_mixture import FullMixture
from score_sde.analytic.given import Given
from score_sde.analytic.marginal import check_shape, marginal
from score_sde.checks import Sample, as_floating, is_concrete, per_sample, require
from score_sde.denoiser import Condition, Denoiser, check_condition
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class GaussianMixture:
    """Σ_k w_k N(m_k, s_k² I) over arrays of any shape: means (K, *shape), stds (K,), weights (K,), or equal if None."""

    means: Any  # anything that jnp.asarray accepts; stored as an array
    stds: Any
    weights: Any = None

    def __post_init__(self):
        means, stds = as_floating(self.means), as_floating(self.stds)
        require(means.ndim >= 1, "means has no axis; give one row for each component, (K, *shape)")
        weights = jnp.full(len(means), 1 / len(means)) if self.weights is None else as_floating(self.weights)
        for name, value in (("stds", stds), ("weights", weights)):
            require(
                value.shape == means.shape[:1],
                f"{name} has shape {value.shape}; means of shape {means.shape} need {means.shape[:1]}",
            )
        if is_concrete(stds) and is_concrete(weights):
            require(bool(np.all(np.asarray(stds) >= 0)), f"stds = {stds}; none may be negative")
            require(bool(np.all(np.asarray(weights) >= 0)), f"weights = {weights}; none may be negative")
            total = float(np.sum(np.asarray(weights, np.float64)))
            require(abs(total - 1) < 1e-5, f"weights = {weights} sum to {total:.6g}; they must sum to 1")
        for name, value in (("means", means), ("stds", stds), ("weights", weights)):
            object.__setattr__(self, name, value)

    def sample(self, key: Key[Array, ""], n: int) -> Float[Array, "n *shape"]:
        """n draws of x_0."""
        return self.sample_labelled(key, n)[0]

    def sample_labelled(self, key: Key[Array, ""], n: int) -> tuple[Float[Array, "n *shape"], Int[Array, "n"]]:
        """n draws of x_0, and the component of each."""
        key_component, key_noise = jax.random.split(key)
        k = jax.random.choice(key_component, len(self.means), (n,), p=self.weights)
        noise = jax.random.normal(key_noise, (n, *self.means.shape[1:]), self.means.dtype)
        return self.means[k] + per_sample(self.stds[k], noise) * noise, k

    def log_prob(
        self, x: Sample, *, sde: SDE | None = None, t: ArrayLike | None = None, condition: Condition = None
    ) -> Float[Array, "batch"]:
        """log p(x_0 = x); with an SDE and a time, log p_t(x_t = x)."""
        check_shape(x, self.means.shape[1:], "mixture")
        alpha, sigma = marginal(sde, x, t)
        log_joint, _, _ = self._components(x, alpha, sigma, condition)
        return jax.nn.logsumexp(log_joint, axis=1) - jax.nn.logsumexp(self._log_weights(x, condition), axis=1)

    def denoiser(self, sde: SDE) -> "MixtureDenoiser":
        """The exact denoiser. A condition {"label": k} restricts it to component k; a negative label to none."""
        return MixtureDenoiser(sde, self)

    @property
    def full(self) -> FullMixture:
        """The same with covariances s_k² I as matrices."""
        eye = jnp.eye(math.prod(self.means.shape[1:]), dtype=self.means.dtype)
        return FullMixture(self.means, self.stds[:, None, None] ** 2 * eye, self.weights)

    def given(self, A: Any, std: Any) -> Given:
        """The joint law of x_0 and of y = A x_0 + n, n ~ N(0, std²); see ``Given``."""
        return Given(self.full, A, std)

    def posterior(self, A: Any, y: Any, std: Any) -> FullMixture:
        """The law of x_0 given y = A x_0 + n, exactly: a mixture again."""
        return self.given(A, std).posterior(y)

    def _log_weights(self, x: Sample, condition: Condition) -> Float[Array, "batch K"]:
        log_weights = jnp.broadcast_to(jnp.log(self.weights), (len(x), len(self.means)))
        if condition is None:
            return log_weights
        check_condition(condition, x)
        label = condition["label"][:, None]
        allowed = (label < 0) | (label == jnp.arange(len(self.means)))
        return jnp.where(allowed, log_weights, -jnp.inf)

    def _components(
        self, x: Sample, alpha: Float[Array, "batch"], sigma: Float[Array, "batch"], condition: Condition
    ) -> tuple[Float[Array, "batch K"], Float[Array, "batch K *shape"], Float[Array, "batch K"]]:
        """log w_k N(x; α m_k, V_k I), the deviations x − α m_k, and the variances V_k."""
        deviation = x[:, None] - per_sample(alpha, x[:, None]) * self.means
        variance = alpha[:, None] ** 2 * self.stds**2 + sigma[:, None] ** 2
        squared = jnp.sum(deviation**2, axis=tuple(range(2, deviation.ndim)))
        dimensions = math.prod(self.means.shape[1:])
        log_normal = -0.5 * (squared / variance + dimensions * jnp.log(2 * jnp.pi * variance))
        return self._log_weights(x, condition) + log_normal, deviation, variance


pytree.register(GaussianMixture, static_unless_told=False)


@dataclasses.dataclass(frozen=True)
class MixtureDenoiser(Denoiser):
    """The exact E[x_0 | x_t] and E[ε | x_t] of a Gaussian mixture.

    With r_k = p(k | x_t):  x̂ = Σ_k r_k μ_k,  μ_k = m_k + α s_k²/V_k (x − α m_k),  ε̂ = Σ_k r_k σ/V_k (x − α m_k).
    """

    mixture: GaussianMixture

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        r, deviation, variance, alpha, sigma = self._by_component(x, t, condition)
        mean = self._means(deviation, variance, alpha)
        weight = r * sigma[:, None] / variance
        return jnp.einsum("bk,bk...->b...", r, mean), jnp.einsum("bk,bk...->b...", weight, deviation)

    def score(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """−Σ_k r_k (x − α m_k)/V_k, which has no division by σ and so is also valid at t = 0."""
        r, deviation, variance, _, _ = self._by_component(x, t, condition)
        return -jnp.einsum("bk,bk...->b...", r / variance, deviation)

    def posterior(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Callable[[Sample], Sample]]:
        """x̂ and v -> Cov[x_0 | x_t] v = Σ_k r_k [τ_k v + (μ_k − x̂)((μ_k − x̂)·v)] with τ_k = s_k² σ²/V_k."""
        r, deviation, variance, alpha, sigma = self._by_component(x, t, condition)
        mean = self._means(deviation, variance, alpha)
        x0 = jnp.einsum("bk,bk...->b...", r, mean)
        spread = mean - x0[:, None]
        tau = self.mixture.stds**2 * sigma[:, None] ** 2 / variance

        def covariance(v: Sample) -> Sample:
            along = jnp.sum(spread * v[:, None], axis=tuple(range(2, spread.ndim)))
            return per_sample(jnp.sum(r * tau, axis=1), v) * v + jnp.einsum("bk,bk...->b...", r * along, spread)

        return x0, covariance

    def _means(self, deviation: Array, variance: Array, alpha: Array) -> Array:
        """μ_k for each sample and component."""
        gain = alpha[:, None] * self.mixture.stds**2 / variance
        return self.mixture.means + gain.reshape(gain.shape + (1,) * (deviation.ndim - 2)) * deviation

    def _by_component(self, x: Sample, t: ArrayLike, condition: Condition):
        """r_k, x − α m_k and V_k for each sample and component, and α and σ."""
        check_shape(x, self.mixture.means.shape[1:], "mixture")
        alpha, sigma = marginal(self.sde, x, t)
        log_joint, deviation, variance = self.mixture._components(x, alpha, sigma, condition)
        return jax.nn.softmax(log_joint, axis=1), deviation, variance, alpha, sigma
