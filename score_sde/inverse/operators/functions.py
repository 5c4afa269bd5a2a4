"""Operators made of functions and of other operators."""

import dataclasses
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from score_sde.checks import is_concrete, require
from score_sde.inverse.operators.base import STATIC, Operator, as_shape, assign


@dataclasses.dataclass(frozen=True)
class Identity(Operator):
    """y = x."""

    orthogonal = True

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return x


@dataclasses.dataclass(frozen=True, init=False)
class Function(Operator):
    """y = fn(x): any function of one x, without batch axis. With ``linear`` it has an adjoint, and it is checked that
    JAX can transpose it and that fn(0) = 0.
    """

    fn: Callable[[Array], Array] = dataclasses.field(metadata=STATIC)
    linear: bool = dataclasses.field(metadata=STATIC)

    def __init__(self, fn: Callable[[Array], Array], shape: tuple[int, ...], *, linear: bool):
        assign(self, fn=fn, shape=as_shape(shape), linear=linear)
        if linear:
            self._check_linear()

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "*measured"]:
        return self.fn(x)

    def _check_linear(self) -> None:
        name, hint = getattr(self.fn, "__name__", repr(self.fn)), "say linear=False, or write it as a linear function"
        like = jax.ShapeDtypeStruct(self.shape, jnp.float32)
        try:
            jax.eval_shape(jax.linear_transpose(self.fn, like), jax.eval_shape(self.fn, like))
        except Exception as error:
            raise ValueError(f"linear = True, but JAX cannot transpose {name}; {hint}") from error
        at_zero = self.fn(jnp.zeros(self.shape))
        if is_concrete(at_zero):
            largest = np.abs(np.asarray(at_zero)).max()
            require(bool(largest == 0), f"linear = True, but {name}(0) = {largest:.3g}, not 0; {hint}")


@dataclasses.dataclass(frozen=True, init=False)
class Stacked(Operator):
    """y = (A_1(x), A_2(x), ...), each flattened, one after the other."""

    parts: tuple[Operator, ...]
    linear: bool = dataclasses.field(metadata=STATIC)

    def __init__(self, parts: tuple[Operator, ...]):
        shapes = {part.shape for part in parts}
        require(bool(parts), "stack of no operator; give at least one")
        require(len(shapes) == 1, f"stack of operators of x of the shapes {sorted(shapes)}; they must be of the same x")
        assign(self, parts=parts, shape=parts[0].shape, linear=all(part.linear for part in parts))

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "m"]:
        return jnp.concatenate([part.apply(x).ravel() for part in self.parts])


def stack(operators: Iterable[Operator]) -> Stacked:
    """Several measurements of one x as one: y is flat, with the y of each operator in turn."""
    return Stacked(tuple(operators))
