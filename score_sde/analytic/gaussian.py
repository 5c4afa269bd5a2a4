"""Gaussians with any covariance, and Gaussians on or near a subspace.

The covariance is stored as C = Σ_i v_i u_i u_iᵀ + r (I − Σ_i u_i u_iᵀ) with orthonormal u_i: a full covariance has as
many u_i as dimensions, "low rank plus noise" has few and r = std². Then x_t has the covariance α² C + σ² I, with the
same u_i, and no matrix is inverted.
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
from score_sde.analytic.full_mixture import FullMixture
from score_sde.analytic.given import Given
from score_sde.analytic.marginal import check_shape, marginal
from score_sde.checks import Sample, as_floating, is_concrete, per_sample, require, sum_over_sample
from score_sde.denoiser import Condition, Denoiser
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True, init=False)
class Gaussian:
    """N(mean, C) over arrays of any shape: C = ``covariance`` (D, D) over the flattened dimensions, or with
    ``factors`` (R, *shape) C = Σ_i factor_i factor_iᵀ + std² I. With std = 0 the data lie on a subspace.
    """

    mean: Float[Array, "*shape"]
    directions: Float[Array, "R *shape"]  # u_i
    variances: Float[Array, "R"]  # v_i
    rest: Float[Array, ""]  # r

    def __init__(
        self,
        mean: Any,
        covariance: Any = None,
        *,
        factors: Any = None,
        std: float = 0.0,
    ):
        mean = as_floating(mean)
        dimensions = math.prod(mean.shape)
        require((covariance is None) != (factors is None), "give a covariance or factors, one of the two")
        require(std >= 0, f"std = {std}; it may not be negative")
        if covariance is not None:
            require(std == 0, f"std = {std} goes with factors; a full covariance holds its own noise")
            matrix = np.asarray(covariance, np.float64)
            shape = (dimensions, dimensions)
            require(matrix.shape == shape, f"covariance has shape {matrix.shape}; mean {mean.shape} needs {shape}")
            require(np.allclose(matrix, matrix.T, atol=1e-6 * np.abs(matrix).max()), "covariance is not symmetric")
            values, vectors = np.linalg.eigh(matrix)
            floor = -1e-6 * max(values.max(), 0.0)
            require(bool(values.min() >= floor), f"covariance has the negative eigenvalue {values.min():.3g}")
            variances, directions = np.maximum(values, 0.0), vectors.T
        else:
            rows = np.asarray(factors, np.float64)
            require(
                rows.shape[1:] == mean.shape, f"factors has shape {rows.shape}; mean {mean.shape} needs (R, *shape)"
            )
            _, values, directions = np.linalg.svd(rows.reshape(len(rows), -1), full_matrices=False)
            variances = values**2 + std**2
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "directions", jnp.asarray(directions.reshape(-1, *mean.shape), mean.dtype))
        object.__setattr__(self, "variances", jnp.asarray(variances, mean.dtype))
        object.__setattr__(self, "rest", jnp.asarray(std**2, mean.dtype))

    def sample(self, key: Key[Array, ""], n: int) -> Float[Array, "n *shape"]:
        """n draws of x_0 = mean + C^{1/2} z."""
        z = jax.random.normal(key, (n, *self.mean.shape), self.mean.dtype)
        return self.mean + self.apply(jnp.sqrt, z)

    def log_prob(self, x: Sample, *, sde: SDE | None = None, t: ArrayLike | None = None) -> Float[Array, "batch"]:
        """log p(x_0 = x); with an SDE and a time, log p_t(x_t = x)."""
        check_shape(x, self.mean.shape, "Gaussian")
        flat = self._outside > 0 and is_concrete(self.rest) and float(self.rest) == 0
        require(
            not (flat and sde is None),
            "std = 0: these data lie on a subspace and have no density; give sde and t for the density of x_t",
        )
        alpha, sigma = marginal(sde, x, t)
        variance = lambda c: alpha[:, None] ** 2 * c + sigma[:, None] ** 2  # noqa: E731
        deviation = x - per_sample(alpha, x) * self.mean
        squared = sum_over_sample(deviation * self.apply(lambda c: 1 / variance(c), deviation))
        log_volume = jnp.sum(jnp.log(variance(self.variances)), axis=1)
        if self._outside:
            log_volume += self._outside * jnp.log(variance(self.rest))[:, 0]
        return -0.5 * (squared + log_volume + self.mean.size * math.log(2 * math.pi))

    def denoiser(self, sde: SDE) -> "GaussianDenoiser":
        """The exact denoiser."""
        return GaussianDenoiser(sde, self)

    @property
    def covariance(self) -> Float[Array, "D D"]:
        """C over the flattened dimensions."""
        basis = jnp.eye(self.mean.size, dtype=self.mean.dtype).reshape(-1, *self.mean.shape)
        return self.apply(lambda c: c, basis).reshape(self.mean.size, -1)

    def given(self, A: Any, std: Any) -> Given:
        """The joint law of x_0 and of y = A x_0 + n, n ~ N(0, std²); see ``Given``."""
        return Given(FullMixture(self.mean[None], self.covariance[None]), A, std)

    def posterior(self, A: Any, y: Any, std: Any) -> FullMixture:
        """The law of x_0 given y = A x_0 + n, exactly: a mixture of one component."""
        return self.given(A, std).posterior(y)

    def apply(self, f: Callable[[Array], Array], v: Sample) -> Sample:
        """f(C) v, with f applied to eigenvalues c of shape (1, any) and its result broadcast to (batch, any)."""
        along = jnp.einsum("r...,b...->br", self.directions, v)
        inside = jnp.einsum("br,r...->b...", f(self.variances[None]) * along, self.directions)
        if not self._outside:
            return inside
        across = v - jnp.einsum("br,r...->b...", along, self.directions)
        return inside + per_sample(jnp.broadcast_to(f(self.rest[None, None])[:, 0], len(v)), v) * across

    @property
    def _outside(self) -> int:
        """The number of dimensions not spanned."""
        return self.mean.size - len(self.variances)


pytree.register(Gaussian, static_unless_told=False)


@dataclasses.dataclass(frozen=True)
class GaussianDenoiser(Denoiser):
    """The exact E[x_0 | x_t] and E[ε | x_t] of a Gaussian. With d = x − α mean and V = α² C + σ² I:

    x̂ = mean + α C V⁻¹ d,   ε̂ = σ V⁻¹ d,   Cov[x_0 | x_t] = σ² C V⁻¹.
    """

    gaussian: Gaussian

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        check_shape(x, self.gaussian.mean.shape, "Gaussian")
        require(condition is None, "a Gaussian has no condition")
        alpha, sigma = marginal(self.sde, x, t)
        deviation = x - per_sample(alpha, x) * self.gaussian.mean
        a, s = alpha[:, None], sigma[:, None]
        x0 = self.gaussian.mean + self.gaussian.apply(lambda c: a * c / (a**2 * c + s**2), deviation)
        return x0, self.gaussian.apply(lambda c: s / (a**2 * c + s**2), deviation)

    def score(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """−V⁻¹ d, which has no division by σ and so is also valid at t = 0 (if C has full rank)."""
        alpha, sigma = marginal(self.sde, x, t)
        a, s = alpha[:, None], sigma[:, None]
        return -self.gaussian.apply(lambda c: 1 / (a**2 * c + s**2), x - per_sample(alpha, x) * self.gaussian.mean)

    def posterior(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Callable[[Sample], Sample]]:
        """x̂ and v -> σ² C V⁻¹ v."""
        a, s = (value[:, None] for value in marginal(self.sde, x, t))
        covariance = lambda c: c * s**2 / (a**2 * c + s**2)  # noqa: E731
        return self.denoise(x, t, condition), lambda v: self.gaussian.apply(covariance, v)
