"""Gaussians with any covariance, and Gaussians on or near a subspace.

The covariance is kept as C = Σ_i v_i u_i u_iᵀ + r (I − Σ_i u_i u_iᵀ) with orthonormal u_i: "full" has as many u_i as
there are dimensions, "low rank plus noise" has few and r = std². Then x_t has the covariance α² C + σ² I, with the same
u_i, and nothing is ever inverted but numbers.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde import pytree
from score_sde.checks import as_time, per_sample, require, sum_over_sample
from score_sde.denoiser import Condition, Denoiser
from score_sde.prediction import Sample
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
        mean: ArrayLike,
        covariance: ArrayLike | None = None,
        *,
        factors: ArrayLike | None = None,
        std: float = 0.0,
    ):
        mean = jnp.asarray(mean)
        mean = mean if jnp.issubdtype(mean.dtype, jnp.floating) else mean.astype(float)
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
        """n draws of x_0."""
        noise = jax.random.normal(key, (n, *self.mean.shape), self.mean.dtype)
        return self.mean + self._apply(lambda c: jnp.sqrt(c), noise)

    def log_prob(
        self, x: Sample, *, sde: SDE | None = None, t: ArrayLike | None = None, condition: Condition = None
    ) -> Float[Array, "batch"]:
        """log p(x_0 = x); with an SDE and a time, log p_t(x_t = x)."""
        require((sde is None) == (t is None), "log_prob needs both sde and t (the density of x_t), or neither")
        require(condition is None, "a Gaussian takes no condition")
        alpha, sigma = (1.0, 0.0) if sde is None else _alpha_sigma(sde, x, t)
        alpha, sigma = jnp.broadcast_to(alpha, x.shape[:1]), jnp.broadcast_to(sigma, x.shape[:1])
        deviation = self._deviation(x, alpha)
        variances = alpha[:, None] ** 2 * self.variances + sigma[:, None] ** 2
        rest = alpha**2 * self.rest + sigma**2
        outside = math.prod(self.mean.shape) - len(self.variances)
        # Within the span of the u_i and across it apart: without a rest the second term does not exist.
        squared = sum_over_sample(deviation * self._apply(lambda c: 1 / (_over(alpha, c) ** 2 * c + _over(sigma, c) ** 2), deviation))
        log_volume = jnp.sum(jnp.log(variances), axis=1) + (outside * jnp.log(rest) if outside else 0.0)
        return -0.5 * (squared + log_volume + math.prod(self.mean.shape) * math.log(2 * math.pi))

    def denoiser(self, sde: SDE) -> "GaussianDenoiser":
        """The exact denoiser."""
        return GaussianDenoiser(sde, self)
