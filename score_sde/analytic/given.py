"""Exact posteriors of a mixture of Gaussians under a linear measurement y = A x_0 + n, n ~ N(0, Σ).

For each component, with S_k = A C_k Aᵀ + Σ and K_k = C_k Aᵀ S_k⁻¹:

    x_0 | y, k ~ N(m_k + K_k (y − A m_k), C_k − K_k A C_k),     p(k | y) ∝ w_k N(y; A m_k, S_k)

Only means and weights depend on y, so one object serves a batch of measurements.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde import pytree
from score_sde.analytic.full_mixture import Components, ComponentsDenoiser, FullMixture
from score_sde.analytic.marginal import marginal
from score_sde.checks import Sample, require
from score_sde.conditions import Condition
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True, init=False)
class Given:
    """The joint law of x_0, a mixture, and y = A x_0 + n; made by ``truth.given(A, std)``.

    ``A``: a matrix (m, D) over the flattened dimensions, or any linear function of a batch. ``std``: of the noise, a
    number or one for each measurement (m,), above 0.
    """

    prior: FullMixture
    matrix: Float[Array, "m D"]
    std: Float[Array, "m"]
    spread: FullMixture  # the posterior's covariances; its means are not used
    gain: Float[Array, "K D m"]  # K_k
    evidence_directions: Float[Array, "K m m"]  # of S_k
    evidence_variances: Float[Array, "K m"]

    def __init__(self, prior: FullMixture, A: Any, std: Any):
        d = math.prod(prior.shape)
        matrix = np.asarray(_matrix(A, prior.shape), np.float64)
        require(matrix.ndim == 2 and matrix.shape[1] == d, f"A has shape {matrix.shape}; allowed: (m, {d})")
        noise = np.broadcast_to(np.asarray(std, np.float64), matrix.shape[:1])
        require(bool((noise > 0).all()), f"std = {std}; it must be above 0, or the posterior has no density")
        U, v = (np.asarray(value, np.float64) for value in (prior.directions, prior.variances))
        C = np.einsum("kdi,ki,kei->kde", U, v, U)
        S = matrix @ C @ matrix.T + np.diag(noise**2)
        gain = np.linalg.solve(S, matrix @ C).swapaxes(1, 2)
        after = np.eye(d) - gain @ matrix  # Joseph's form, which stays positive: (I − K A) C (I − K A)ᵀ + K Σ Kᵀ
        posterior = after @ C @ after.swapaxes(1, 2) + (gain * noise**2) @ gain.swapaxes(1, 2)
        values, vectors = np.linalg.eigh(S)
        dtype = prior.means.dtype
        for name, value in {
            "prior": prior,
            "matrix": jnp.asarray(matrix, dtype),
            "std": jnp.asarray(noise, dtype),
            "spread": FullMixture(prior.means, posterior, prior.weights),
            "gain": jnp.asarray(gain, dtype),
            "evidence_directions": jnp.asarray(vectors, dtype),
            "evidence_variances": jnp.asarray(values, dtype),
        }.items():
            object.__setattr__(self, name, value)

    def sample(self, key: Key[Array, ""], n: int) -> tuple[Float[Array, "n *shape"], Float[Array, "n m"]]:
        """n draws of (x_0, y)."""
        key_x, key_y = jax.random.split(key)
        x = self.prior.sample(key_x, n)
        noise = jax.random.normal(key_y, (n, len(self.std)), x.dtype)
        return x, x.reshape(n, -1) @ self.matrix.T + self.std * noise

    def posterior(self, y: Any) -> FullMixture:
        """The law of x_0 given one y, (m,)."""
        means, log_weights = self._told(jnp.asarray(y, float)[None])
        found = object.__new__(FullMixture)
        for name, value in {
            "means": means[0].reshape(self.prior.means.shape),
            "directions": self.spread.directions,
            "variances": self.spread.variances,
            "weights": jax.nn.softmax(log_weights[0]),
        }.items():
            object.__setattr__(found, name, value)
        return found

    def log_evidence(self, y: Any) -> Float[Array, "batch"]:
        """log p(y) of each of a batch of measurements (batch, m)."""
        return jax.nn.logsumexp(self._told(jnp.asarray(y, float))[1], axis=1)

    def denoiser(self, sde: SDE) -> "GivenDenoiser":
        """The exact E[x_0 | x_t, y], told condition={"y": y}, (batch, m)."""
        return GivenDenoiser(sde, self)

    def _told(self, y: Float[Array, "batch m"]) -> tuple[Float[Array, "batch K D"], Float[Array, "batch K"]]:
        """(the posterior means, log w_k N(y; A m_k, S_k)) for each y."""
        m = self.matrix.shape[0]
        require(y.ndim == 2 and y.shape[1] == m, f"y has shape {y.shape}; allowed: (batch, {m})")
        means = self.prior.means.reshape(len(self.prior.means), -1)
        residual = y[:, None] - means @ self.matrix.T
        along = jnp.einsum("kmi,bkm->bki", self.evidence_directions, residual)
        variance = self.evidence_variances
        log_normal = -0.5 * jnp.sum(along**2 / variance + jnp.log(2 * jnp.pi * variance), axis=2)
        return means + jnp.einsum("kdm,bkm->bkd", self.gain, residual), jnp.log(self.prior.weights) + log_normal


pytree.register(Given, static_unless_told=False)


@dataclasses.dataclass(frozen=True)
class GivenDenoiser(ComponentsDenoiser):
    """The exact conditional denoiser: that of the posterior mixture of each sample's y."""

    given: Given

    def _components(self, x: Sample, t: ArrayLike, condition: Condition) -> Components:
        require(
            isinstance(condition, dict) and set(condition) == {"y"},
            'a posterior is told the measurements as condition={"y": y} and nothing else',
        )
        y = jnp.asarray(condition["y"]).reshape(len(x), -1)
        return self.given.spread.components(x, *marginal(self.sde, x, t), *self.given._told(y))


def _matrix(A: Any, shape: tuple[int, ...]) -> Array:
    """The matrix (m, D) of a linear function of a batch, or A itself."""
    if not callable(A):
        return jnp.asarray(A)
    columns = A(jnp.eye(math.prod(shape)).reshape(-1, *shape))
    return columns.reshape(len(columns), -1).T
