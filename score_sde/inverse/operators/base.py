"""Measurements y = A(x): the common interface of operators, for likelihoods, posterior methods and exact posteriors.

An operator maps each x of a batch by itself. A subclass defines ``apply`` for one x; the adjoint follows by
transposition, the measured shape by abstract evaluation::

    class Cumulative(ss.inverse.Operator):
        def apply(self, x): return jnp.cumsum(x, axis=0)

    A = Cumulative((8, 8, 1))
    y = A(x);  A.adjoint(y);  B @ A

Where the singular value decomposition is known in closed form (``structured``), so are A⁺ and (ρ A Aᵀ + v I)⁻¹.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde import pytree
from score_sde.checks import Sample, require
from score_sde.inverse.operators.spectral import SVD, Measurement, decomposed, dense_svd

DENSE = 4096 * 4096
"""The most entries of a matrix that is formed without being asked for."""

STATIC = {"static": True}


@dataclasses.dataclass(frozen=True)
class Operator:
    """y = A(x) for each x of a batch (batch, *shape); y is (batch, *measured).

    An operator is a pytree: its fields are leaves unless declared ``field(metadata={"static": True})``. The results
    have the dtype of x. Subclasses that are not linear say ``linear = False``.
    """

    shape: tuple[int, ...] = dataclasses.field(metadata=STATIC)
    """The shape of one x."""

    linear = True
    orthogonal = False
    """Whether Aᵀ A = A Aᵀ = I."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        pytree.register(cls, static_unless_told=False)

    def __post_init__(self):
        assign(self, shape=as_shape(self.shape))

    # What a subclass defines.

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "*measured"]:
        """A(x) of one x."""
        raise TypeError(f"{type(self).__name__} does not define apply(x), the measurement of one x")

    @property
    def structured(self) -> bool:
        """Whether ``svd`` has a closed form, so that ``pinv`` and ``solve`` are as cheap as a few products with A.

        Otherwise these two form the matrix of a small operator, each time: ``dense(A)`` does it once. A large one
        needs conjugate gradients.
        """
        return self.orthogonal

    def svd(self) -> SVD:
        """A = U diag(s) Vᵀ, where there is a closed form."""
        if self.orthogonal:
            shape, measured = self.shape, self.measured
            return SVD(jnp.ones(measured), jax.vmap(self.apply), lambda y: y, shape, measured)
        self._must_be_linear("singular value decomposition")
        raise ValueError(
            f"{type(self).__name__} has no singular value decomposition in closed form (structured = False); "
            "dense(A) computes that of a small operator, and conjugate gradients do without"
        )

    # What follows.

    @property
    def measured(self) -> tuple[int, ...]:
        """The shape of one y."""
        return jax.eval_shape(self.apply, jax.ShapeDtypeStruct(self.shape, jnp.float32)).shape

    def __call__(self, x: Sample) -> Measurement:
        """y = A(x)."""
        return jax.vmap(self.apply)(self._checked(x, "x", self.shape))

    def adjoint(self, y: Measurement) -> Sample:
        """Aᵀ y."""
        self._must_be_linear("adjoint")
        y = self._checked(y, "y", self.measured)
        transpose = jax.linear_transpose(self.apply, jax.ShapeDtypeStruct(self.shape, y.dtype))
        return jax.vmap(lambda y: transpose(y)[0])(y)

    def linearize(
        self, x: Sample
    ) -> tuple[Measurement, Callable[[Sample], Measurement], Callable[[Measurement], Sample]]:
        """A(x), v -> J v and u -> Jᵀ u with the Jacobian J = ∂A/∂x at each x; J = A for a linear operator."""
        y, push = jax.linearize(self, jnp.asarray(x))
        transpose = jax.linear_transpose(push, x)
        return y, push, lambda u: transpose(u)[0]

    def pinv(self, y: Measurement, tolerance: float | None = None) -> Sample:
        """A⁺ y, the x of least norm among those that fit y best. ``tolerance``: see ``SVD.pinv``.

        Noise grows by 1/s: few blurs have a useful pseudo-inverse.
        """
        return self._svd("pseudo-inverse").pinv(self._checked(y, "y", self.measured), tolerance)

    def solve(self, v: Measurement, rho: ArrayLike, variance: ArrayLike) -> Measurement:
        """(ρ A Aᵀ + variance I)⁻¹ v for each v, with ρ and variance () or (batch,)."""
        v = self._checked(v, "v", self.measured)
        for name, value in (("rho", rho), ("variance", variance)):
            require(
                jnp.shape(value) in ((), v.shape[:1]),
                f"{name} has shape {jnp.shape(value)} beside v of shape {v.shape}; allowed: () or ({len(v)},)",
            )
        return self._svd("solve").solve(v, rho, variance)

    def matrix(self) -> Float[Array, "m d"]:
        """A as a matrix, from the flattened x to the flattened y."""
        self._must_be_linear("matrix")
        d = math.prod(self.shape)
        return jax.vmap(self.apply)(jnp.eye(d).reshape(d, *self.shape)).reshape(d, -1).T

    def __matmul__(self, inner: "Operator") -> "Operator":
        """A @ B: x -> A(B(x))."""
        return Composed(self, inner) if isinstance(inner, Operator) else NotImplemented

    def _svd(self, what: str) -> SVD:
        self._must_be_linear(what)
        if self.structured:
            return self.svd()
        measured = self.measured
        m, d = math.prod(measured), math.prod(self.shape)
        require(
            m * d <= DENSE,
            f"{type(self).__name__} has no {what} in closed form, and its matrix of {m} x {d} is more than is formed "
            "here (4096 x 4096); use conjugate gradients, or dense(A) if it fits the memory",
        )
        return dense_svd(*decomposed(self.matrix()), self.shape, measured)

    def _must_be_linear(self, what: str) -> None:
        require(
            self.linear,
            f"{type(self).__name__} is not linear and has no {what}; A.linearize(x) gives A(x) and the products with "
            "its Jacobian at x and the transpose",
        )

    def _checked(self, a: Array | np.ndarray, name: str, shape: tuple[int, ...]) -> Array:
        require(
            a.shape[1:] == shape and a.ndim == len(shape) + 1,
            f"{name} has shape {a.shape}; this {type(self).__name__} needs (batch, {', '.join(map(str, shape))})"
            + (f": {name}[None] is a batch of one" if a.shape == shape else ""),
        )
        return jnp.asarray(a)


@dataclasses.dataclass(frozen=True, init=False)
class Composed(Operator):
    """A(B(x)). Its decomposition is known if one of the two is orthogonal and that of the other is known."""

    outer: Operator
    inner: Operator
    linear: bool = dataclasses.field(metadata=STATIC)

    def __init__(self, outer: Operator, inner: Operator):
        require(
            inner.measured == outer.shape,
            f"A @ B: B = {type(inner).__name__} measures {inner.measured}, but A = {type(outer).__name__} needs x of "
            f"shape {outer.shape}",
        )
        assign(self, outer=outer, inner=inner, shape=inner.shape, linear=outer.linear and inner.linear)

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "*measured"]:
        return self.outer.apply(self.inner.apply(x))

    @property
    def structured(self) -> bool:
        return (self.inner.orthogonal and self.outer.structured) or (self.outer.orthogonal and self.inner.structured)

    def svd(self) -> SVD:
        """A B = U s (BᵀV)ᵀ for an orthogonal B, (A U) s Vᵀ for an orthogonal A."""
        if not self.structured:
            return super().svd()
        if self.inner.orthogonal:
            outer = self.outer.svd()
            return SVD(outer.s, lambda x: outer.from_x(self.inner(x)), outer.from_y, self.shape, self.measured)
        inner = self.inner.svd()
        return SVD(inner.s, inner.from_x, lambda y: inner.from_y(self.outer.adjoint(y)), self.shape, self.measured)


def assign(operator: Operator, **fields: object) -> None:
    """Set the fields of a frozen dataclass, in its ``__init__``."""
    for name, value in fields.items():
        object.__setattr__(operator, name, value)


def as_shape(shape: tuple[int, ...], axes: tuple[str, ...] = ()) -> tuple[int, ...]:
    """``shape`` as positive integers; ``axes`` names those that it must have."""
    allowed = f"({', '.join(axes)})" if axes else "positive integers, one for each axis of one x"
    fits = len(shape) == len(axes) if axes else True
    require(fits and all(n == int(n) and n > 0 for n in shape), f"shape = {tuple(shape)}; allowed: {allowed}")
    return tuple(int(n) for n in shape)


IMAGE = ("height", "width", "channels")
