"""Singular value decompositions as functions: a product with U or V is a fast transform for most operators.

    A = U diag(s) Vᵀ,    UᵀU = I,  VᵀV = I

so that, in the coordinates z = Uᵀy of a measurement, what posterior methods need of A is elementwise:

    A⁺ y = V (z / s),    (ρ A Aᵀ + v I)⁻¹ y = U (z / (ρ s² + v)) + (y − U z) / v

The decomposition is thin: what V does not reach is the null space of A, what U does not reach is never measured.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde.checks import Sample, as_floating, per_sample

if TYPE_CHECKING:
    Measurement: TypeAlias = Array
    Coordinates: TypeAlias = Array
else:  # as for Sample
    Measurement = Float[Array | np.ndarray, "batch *measured"]
    Coordinates = Float[Array | np.ndarray, "batch *spectrum"]


@dataclasses.dataclass(frozen=True)
class SVD:
    """A = U diag(s) Vᵀ, with Vᵀ and Uᵀ given as linear functions of batches; V and U are their transposes.

    z is (batch, *spectrum), and ``s`` is broadcast to its shape without the batch. Singular values may be zero.
    """

    s: Float[Array, "*spectrum"]
    from_x: Callable[[Sample], Coordinates]
    """Vᵀ x, (batch, *shape) -> (batch, *spectrum)."""
    from_y: Callable[[Measurement], Coordinates]
    """Uᵀ y, (batch, *measured) -> (batch, *spectrum)."""
    shape: tuple[int, ...]
    measured: tuple[int, ...]

    def to_x(self, z: Coordinates) -> Sample:
        """V z."""
        return _transposed(self.from_x, self.shape, z)

    def to_y(self, z: Coordinates) -> Measurement:
        """U z."""
        return _transposed(self.from_y, self.measured, z)

    def pinv(self, y: Measurement, tolerance: float | None = None) -> Sample:
        """A⁺ y; singular values up to ``tolerance`` times the largest count as zero. By default these are 100 roundings,
        1e-5 in float32.
        """
        z = self.from_y(y)
        s = self.s.astype(z.dtype)
        if tolerance is None:
            tolerance = 100 * float(jnp.finfo(z.dtype).eps)
        return self.to_x(z * _reciprocal(jnp.where(s > tolerance * jnp.max(s), s, 0.0)))

    def solve(self, v: Measurement, rho: ArrayLike, variance: ArrayLike) -> Measurement:
        """(ρ A Aᵀ + variance I)⁻¹ v; where the matrix is zero, as with a variance of 0, its pseudo-inverse."""
        z = self.from_y(v)
        s = self.s.astype(z.dtype)
        inside = self.to_y(z * _reciprocal(per_sample(rho, z) * s**2 + per_sample(variance, z)))
        if math.prod(z.shape[1:]) == math.prod(self.measured):
            return inside
        return inside + (v - self.to_y(z)) * _reciprocal(per_sample(variance, v))


def decomposed(a: Any) -> tuple[Float[Array, "m k"], Float[Array, "k"], Float[Array, "d k"]]:
    """(U, s, V) of a matrix (m, d), k = min(m, d): in float64 by NumPy where the matrix is known, else by JAX."""
    known = not isinstance(a, jax.core.Tracer)
    parts: Any = np.linalg.svd(np.asarray(a, np.float64), False) if known else jnp.linalg.svd(a, False)
    u, s, vt = map(as_floating, parts)
    return u, s, vt.T


def dense_svd(
    u: Float[Array, "m k"],
    s: Float[Array, "k"],
    v: Float[Array, "d k"],
    shape: tuple[int, ...],
    measured: tuple[int, ...],
) -> SVD:
    """The decomposition with U and V as matrices over the flattened measurement and the flattened x."""

    def product(matrix: Array) -> Callable[[Array], Coordinates]:
        return lambda x: jnp.matmul(x.reshape(len(x), -1), matrix.astype(x.dtype), precision=Precision.HIGHEST)

    return SVD(s, product(v), product(u), shape, measured)


def _transposed(function: Callable[[Array], Array], shape: tuple[int, ...], z: Array) -> Array:
    like = jax.ShapeDtypeStruct((len(z), *shape), z.dtype)
    return jax.linear_transpose(function, like)(z)[0]


def _reciprocal(a: Array) -> Array:
    """1/a, and 0 where a is 0."""
    return jnp.where(a == 0, 0.0, 1 / jnp.where(a == 0, 1.0, a))
