"""Linear and bilinear functions with custom transposes.

``jax.custom_vjp`` would rule out forward mode. A JAX primitive that is declared bilinear has its JVP by linearity, and
its transposes by the given rules.

    T(x, w, dy) = Σ y(x, w) · dy,      y = ∂T/∂dy,   dx = ∂T/∂x,   dw = ∂T/∂w

is linear in each of x, w and dy. The three derivatives are bilinear, and each is a transpose of the others, so they
are closed under differentiation in both modes.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array


class Form(NamedTuple):
    """One of the derivatives, as a function (a, b, **static) for CPUs and one for all other platforms.

    ``free``: for each operand, (the axis that only it has, the corresponding axis of the result).
    """

    cpu: Callable[..., Array]
    default: Callable[..., Array]
    free: tuple[tuple[int, int], tuple[int, int]]


def trilinear(name: str, y: Form, dx: Form, dw: Form) -> tuple[Callable[..., Array], ...]:
    """The functions y(x, w), dx(dy, w) and dw(x, dy). Keyword arguments are static."""
    of_y, of_dx, of_dw = (_primitive(f"{name}_{what}", form) for what, form in (("y", y), ("dx", dx), ("dw", dw)))
    bind_y, bind_dx, bind_dw = (functools.partial(_bind, primitive) for primitive in (of_y, of_dx, of_dw))
    ad.defbilinear(of_y, lambda g, x, w, **s: bind_dx(g, w, **s), lambda g, x, w, **s: bind_dw(x, g, **s))
    ad.defbilinear(of_dx, lambda g, dy, w, **s: bind_y(g, w, **s), lambda g, dy, w, **s: bind_dw(g, dy, **s))
    ad.defbilinear(of_dw, lambda g, x, dy, **s: bind_dx(dy, g, **s), lambda g, x, dy, **s: bind_y(x, g, **s))
    return bind_y, bind_dx, bind_dw


def self_adjoint(name: str, cpu: Callable[[Array], Array], default: Callable[[Array], Array]) -> Callable:
    """A linear function of one array that is its own transpose and acts on each entry."""
    primitive = Primitive(name)
    _lower(primitive, cpu, default)
    ad.deflinear2(primitive, lambda g, _: [primitive.bind(g)])
    batching.defvectorized(primitive)
    return primitive.bind


def _primitive(name: str, form: Form) -> Primitive:
    primitive = Primitive(name)
    _lower(primitive, form.cpu, form.default)
    batching.primitive_batchers[primitive] = functools.partial(_batched, primitive, form)
    return primitive


def _lower(primitive: Primitive, cpu: Callable, default: Callable) -> None:
    primitive.def_impl(lambda *operands, **static: _compiled(primitive, **static)(*operands))
    primitive.def_abstract_eval(functools.partial(_kind, default))
    mlir.register_lowering(primitive, mlir.lower_fun(default, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(cpu, multiple_results=False), platform="cpu")


def _kind(function: Callable, *operands: Any, **static: Any) -> Any:
    """The type of the result: that of an operand, which has the same rank and varies over the same mesh axes."""
    arrays = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in operands]
    return operands[0].update(
        shape=jax.eval_shape(functools.partial(function, **static), *arrays).shape, weak_type=False
    )


@functools.cache
def _compiled(primitive: Primitive, **static: Any) -> Callable:
    return jax.jit(functools.partial(primitive.bind, **static))


def _bind(primitive: Primitive, *operands: Array, **static: Any) -> Array:
    """In ``jax.shard_map``, make both operands vary over the same mesh axes."""
    axes = frozenset().union(*map(_varying, operands))
    alike = [lax.pcast(a, tuple(axes - _varying(a)), to="varying") if axes - _varying(a) else a for a in operands]
    return primitive.bind(*alike, **static)


def _varying(a: Array) -> frozenset:
    """The mesh axes over which an array varies; the attribute's name differs between versions of JAX."""
    kind: Any = jax.typeof(a)
    axes: Any = getattr(kind, "vma", None) or getattr(getattr(kind, "mat", None), "varying", ())
    return frozenset(axes)


def _batched(primitive: Primitive, form: Form, operands: tuple, dims: tuple, **static: Any) -> tuple[Array, int]:
    """The rule for ``jax.vmap``: the batch axis of one operand joins its free axis; with two, JAX's own rules apply."""
    mapped = [i for i, dim in enumerate(dims) if dim is not None]
    if len(mapped) == 2:
        both = jax.vmap(
            lambda a, b: lax.platform_dependent(
                a, b, cpu=functools.partial(form.cpu, **static), default=functools.partial(form.default, **static)
            ),
            dims,
        )
        return both(*operands), 0
    (i,) = mapped
    size, (axis, out_axis) = operands[i].shape[dims[i]], form.free[i]
    joined = list(operands)
    joined[i] = _join(jnp.moveaxis(operands[i], dims[i], 0), axis)
    return _part(_bind(primitive, *joined, **static), out_axis, size), 0


def _join(a: Array, axis: int) -> Array:
    """Merge the first axis into another, whose index does not count it."""
    axis %= a.ndim - 1
    a = jnp.moveaxis(a, 0, axis)
    return a.reshape(*a.shape[:axis], -1, *a.shape[axis + 2 :])


def _part(a: Array, axis: int, size: int) -> Array:
    """The inverse: move an axis of this size to the front."""
    axis %= a.ndim
    return jnp.moveaxis(a.reshape(*a.shape[:axis], size, -1, *a.shape[axis + 1 :]), axis, 0)
