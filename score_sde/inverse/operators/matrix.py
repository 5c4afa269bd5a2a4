"""Operators that are matrices over the flattened x."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float

from score_sde.checks import as_floating, require
from score_sde.inverse.operators.base import Operator, as_shape, assign
from score_sde.inverse.operators.spectral import SVD, decomposed, dense_svd


@dataclasses.dataclass(frozen=True, init=False)
class Matrix(Operator):
    """y = a x for a matrix a (m, d) and the flattened x, which has shape (d,) unless ``shape`` tells another.

    The singular value decomposition is computed once, here: O(m d min(m, d)). ``decompose=False`` leaves it out.
    """

    a: Float[Array, "m d"]
    u: Float[Array, "m k"] | None
    s: Float[Array, "k"] | None
    v: Float[Array, "d k"] | None

    def __init__(self, a: Any, shape: tuple[int, ...] | None = None, *, decompose: bool = True):
        require(np.ndim(a) == 2 and 0 not in np.shape(a), f"a has shape {np.shape(a)}; allowed: a matrix (m, d)")
        shape = (np.shape(a)[1],) if shape is None else as_shape(shape)
        d = math.prod(shape)
        require(d == np.shape(a)[1], f"a has shape {np.shape(a)}; x of shape {shape} needs (m, {d})")
        u, s, v = decomposed(a) if decompose else (None, None, None)
        assign(self, shape=shape, a=as_floating(a), u=u, s=s, v=v)

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "m"]:
        return jnp.matmul(self.a.astype(x.dtype), x.ravel(), precision=Precision.HIGHEST)

    @property
    def structured(self) -> bool:
        return self.s is not None

    def svd(self) -> SVD:
        if self.u is None or self.s is None or self.v is None:
            return super().svd()
        return dense_svd(self.u, self.s, self.v, self.shape, self.measured)


def dense(operator: Operator) -> Matrix:
    """A small linear operator as a matrix with its decomposition; y becomes flat."""
    return Matrix(operator.matrix(), operator.shape)


def gaussian_sensing(shape: tuple[int, ...], measurements: int, *, seed: int) -> Matrix:
    """Compressed sensing by independent entries N(0, 1/measurements), so that E‖A x‖² = ‖x‖²."""
    shape = as_shape(shape)
    require(measurements > 0, f"measurements = {measurements}; allowed: 1 or more")
    a = np.random.default_rng(seed).normal(size=(measurements, math.prod(shape))) / math.sqrt(measurements)
    return Matrix(a, shape)
