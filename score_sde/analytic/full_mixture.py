"""Mixtures of Gaussians with any covariances: what posteriors of mixtures are.

With p(x_0) = Σ_k w_k N(m_k, C_k), C_k = U_k diag(v_k) U_kᵀ, the density of x_t = α x_0 + σ ε is Σ_k w_k N(α m_k, V_k) with
V_k = U_k diag(α² v_k + σ²) U_kᵀ: no matrix is inverted.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde import pytree
from score_sde.analytic.marginal import check_shape, marginal
from score_sde.checks import Sample, as_floating, require
from score_sde.denoiser import Condition, Denoiser
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True, init=False)
class FullMixture:
    """Σ_k w_k N(m_k, C_k) over arrays of any shape: means (K, *shape), covariances (K, D, D) over the flattened
    dimensions, weights (K,), or equal if None.
    """

    means: Float[Array, "K *shape"]
    directions: Float[Array, "K D D"]  # U_k, a column for each eigenvalue
    variances: Float[Array, "K D"]  # v_k
    weights: Float[Array, "K"]

    def __init__(self, means: Any, covariances: Any, weights: Any = None):
        means = as_floating(means)
        components, d = means.shape[0], math.prod(means.shape[1:])
        matrices = np.asarray(covariances, np.float64)
        shape = (components, d, d)
        require(matrices.shape == shape, f"covariances has shape {matrices.shape}; means {means.shape} need {shape}")
        across = np.swapaxes(matrices, 1, 2)
        require(np.allclose(matrices, across, atol=1e-6 * np.abs(matrices).max()), "a covariance is not symmetric")
        values, vectors = np.linalg.eigh((matrices + across) / 2)
        floor = -1e-6 * max(values.max(), 0.0)
        require(bool(values.min() >= floor), f"a covariance has the negative eigenvalue {values.min():.3g}")
        weights = jnp.full(components, 1 / components) if weights is None else as_floating(weights)
        require(weights.shape == (components,), f"weights has shape {weights.shape}; allowed: {(components,)}")
        total = float(np.sum(np.asarray(weights, np.float64)))
        require(abs(total - 1) < 1e-5, f"weights sum to {total:.6g}; they must sum to 1")
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "directions", jnp.asarray(vectors, means.dtype))
        object.__setattr__(self, "variances", jnp.asarray(np.maximum(values, 0.0), means.dtype))
        object.__setattr__(self, "weights", weights.astype(means.dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one x."""
        return self.means.shape[1:]

    @property
    def mean(self) -> Float[Array, "*shape"]:
        """Σ_k w_k m_k."""
        return jnp.tensordot(self.weights, self.means, 1)

    @property
    def covariance(self) -> Float[Array, "D D"]:
        """Σ_k w_k (C_k + (m_k − m)(m_k − m)ᵀ)."""
        own = jnp.einsum("k,kdi,ki,kei->de", self.weights, self.directions, self.variances, self.directions)
        spread = (self.means - self.mean).reshape(len(self.means), -1)
        return own + jnp.einsum("k,kd,ke->de", self.weights, spread, spread)

    def sample(self, key: Key[Array, ""], n: int) -> Float[Array, "n *shape"]:
        """n draws of x_0."""
        key_component, key_noise = jax.random.split(key)
        k = jax.random.choice(key_component, len(self.means), (n,), p=self.weights)
        z = jax.random.normal(key_noise, (n, self.variances.shape[1]), self.means.dtype)
        along = jnp.sqrt(self.variances)[k] * z
        return self.means[k] + jnp.einsum("nde,ne->nd", self.directions[k], along).reshape(n, *self.shape)

    def log_prob(self, x: Sample, *, sde: SDE | None = None, t: ArrayLike | None = None) -> Float[Array, "batch"]:
        """log p(x_0 = x); with an SDE and a time, log p_t(x_t = x)."""
        return jax.nn.logsumexp(self.components(x, *marginal(sde, x, t)).log_joint, axis=1)

    def denoiser(self, sde: SDE) -> "FullMixtureDenoiser":
        """The exact denoiser."""
        return FullMixtureDenoiser(sde, self)

    def components(
        self,
        x: Sample,
        alpha: Float[Array, "batch"],
        sigma: Float[Array, "batch"],
        means: Float[Array, "batch K D"] | None = None,
        log_weights: Float[Array, "batch K"] | None = None,
    ) -> "Components":
        """x in the coordinates of each component. ``means`` and ``log_weights``: others for each sample."""
        check_shape(x, self.shape, "mixture")
        flat = x.reshape(len(x), -1)
        means = self.means.reshape(1, len(self.means), -1) if means is None else means
        log_weights = jnp.log(self.weights)[None] if log_weights is None else log_weights
        along = jnp.einsum("kdi,bkd->bki", self.directions, flat[:, None] - alpha[:, None, None] * means)
        variance = alpha[:, None, None] ** 2 * self.variances + sigma[:, None, None] ** 2
        log_normal = -0.5 * jnp.sum(along**2 / variance + jnp.log(2 * jnp.pi * variance), axis=2)
        return Components(
            self, alpha[:, None, None], sigma[:, None, None], means, along, variance, log_weights + log_normal
        )


pytree.register(FullMixture, static_unless_told=False)


@dataclasses.dataclass(frozen=True)
class Components:
    """What x_t says of each component: U_kᵀ(x_t − α m_k), the variances of x_t along U_k, and log w_k N(x_t; α m_k, V_k)."""

    mixture: FullMixture
    alpha: Float[Array, "batch 1 1"]
    sigma: Float[Array, "batch 1 1"]
    means: Float[Array, "_b K D"]
    along: Float[Array, "batch K D"]
    variance: Float[Array, "batch K D"]
    log_joint: Float[Array, "batch K"]

    @property
    def r(self) -> Float[Array, "batch K"]:
        """p(k | x_t)."""
        return jax.nn.softmax(self.log_joint, axis=1)

    def back(self, along: Float[Array, "batch K D"]) -> Float[Array, "batch K D"]:
        """U_k a_k."""
        return jnp.einsum("kdi,bki->bkd", self.mixture.directions, along)

    def posterior_means(self) -> Float[Array, "batch K D"]:
        """μ_k = m_k + α C_k V_k⁻¹ (x_t − α m_k)."""
        return self.means + self.back(self.alpha * self.mixture.variances / self.variance * self.along)

    def mean(self) -> Float[Array, "batch D"]:
        """x̂ = Σ_k r_k μ_k."""
        return jnp.einsum("bk,bkd->bd", self.r, self.posterior_means())

    def noise(self) -> Float[Array, "batch D"]:
        """ε̂ = Σ_k r_k σ V_k⁻¹ (x_t − α m_k)."""
        return jnp.einsum("bk,bkd->bd", self.r, self.back(self.sigma / self.variance * self.along))

    def covariance(self) -> Callable[[Float[Array, "batch D"]], Float[Array, "batch D"]]:
        """v -> Cov[x_0 | x_t] v = Σ_k r_k [σ² C_k V_k⁻¹ v + (μ_k − x̂)((μ_k − x̂)·v)]."""
        r, mu = self.r, self.posterior_means()
        spread = mu - jnp.einsum("bk,bkd->bd", r, mu)[:, None]
        within = self.sigma**2 * self.mixture.variances / self.variance

        def product(v: Float[Array, "batch D"]) -> Float[Array, "batch D"]:
            own = self.back(within * jnp.einsum("kdi,bd->bki", self.mixture.directions, v))
            along = jnp.einsum("bkd,bd->bk", spread, v)
            return jnp.einsum("bk,bkd->bd", r, own + along[:, :, None] * spread)

        return product


@dataclasses.dataclass(frozen=True)
class ComponentsDenoiser(Denoiser):
    """An exact denoiser from what x_t says of each component; subclasses define ``_components``."""

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        found = self._components(x, t, condition)
        return found.mean().reshape(x.shape), found.noise().reshape(x.shape)

    def posterior(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Callable[[Sample], Sample]]:
        """x̂ and v -> Cov[x_0 | x_t] v."""
        found = self._components(x, t, condition)
        product = found.covariance()
        return found.mean().reshape(x.shape), lambda v: product(v.reshape(len(v), -1)).reshape(v.shape)

    def _components(self, x: Sample, t: ArrayLike, condition: Condition) -> Components:
        raise TypeError(f"{type(self).__name__} does not define _components")


@dataclasses.dataclass(frozen=True)
class FullMixtureDenoiser(ComponentsDenoiser):
    """The exact E[x_0 | x_t] and E[ε | x_t] of a mixture with any covariances."""

    mixture: FullMixture

    def score(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """−Σ_k r_k V_k⁻¹ (x − α m_k), which has no division by σ."""
        found = self._components(x, t, condition)
        return -jnp.einsum("bk,bkd->bd", found.r, found.back(found.along / found.variance)).reshape(x.shape)

    def _components(self, x: Sample, t: ArrayLike, condition: Condition) -> Components:
        require(condition is None, "this mixture has no condition")
        return self.mixture.components(x, *marginal(self.sde, x, t))
