"""Arguments: their types and checks, and the broadcasting of values per sample to arrays of samples.

Only concrete values can be checked: inside ``jax.jit`` the shape of a time is checked, but its range is unknown and
is not.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

if TYPE_CHECKING:
    Sample: TypeAlias = Array
else:  # NumPy arrays are allowed as arguments; with a union, a type checker would assume them as results too
    Sample = Float[Array | np.ndarray, "batch *shape"]
Times: TypeAlias = Float[Array, "..."]  # () or (batch,)


def is_concrete(value: ArrayLike) -> bool:
    """Whether ``value`` can be read now: a constant can; an argument of jit, vmap or grad cannot, nor an array that is
    distributed over several hosts.

    Read it with NumPy: inside jit, the result of ``jnp`` on a constant is no longer a constant.
    """
    if isinstance(value, jax.core.Tracer):
        return False
    return not isinstance(value, jax.Array) or value.is_fully_addressable


def require(condition: bool, message: str) -> None:
    """Raise a ValueError unless the condition holds."""
    if not condition:
        raise ValueError(message)


class Nothing(TypedDict):
    """For ``**others: Unpack[Nothing]``: a function that reports unknown options itself, with ``no_others``."""


def no_others(others: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    """Raise a TypeError for an unknown option, with the closest known one."""
    known = sorted(known)
    for name in others:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise TypeError(f"{what} has no option {name!r}{hint} Its options: {', '.join(known)}")


def some_of(items: Sequence[str], most: int) -> str:
    """The first items of a list that may be long: "a, b and 3 more"."""
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def as_floating(value: Any) -> Array:
    """``value`` as an array of floats; integers become the default float."""
    value = jnp.asarray(value)
    return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(float)


def as_time(
    t: ArrayLike, t_max: float, x: Array | np.ndarray | None = None, *, name: str = "t", lowest: float = 0.0
) -> Times:
    """``t`` as a floating-point array of shape () or (batch,), with each entry in [``lowest``, t_max]."""
    shape = jnp.shape(t)
    if x is None:
        require(
            len(shape) <= 1,
            f"{name} has shape {shape}; allowed: a scalar or one value for each sample, (batch,)",
        )
    else:
        batch = f"({x.shape[0]},)" if x.ndim else "()"
        allowed = ((), x.shape[:1])
        require(shape in allowed, f"{name} has shape {shape} beside x of shape {x.shape}; allowed: () or {batch}")
    if is_concrete(t):
        values = np.asarray(t)
        outside = ~((values >= lowest) & (values <= t_max * (1 + 1e-6)))  # NaN counts as outside
        if outside.any():
            raise ValueError(
                f"{name} = {values[outside].flat[0]:g} lies outside [{lowest:g}, t_max] = [{lowest:g}, {t_max:g}]"
            )
    return as_floating(t)


def as_step(
    t: ArrayLike, s: ArrayLike, t_max: float, x: Array | np.ndarray | None = None, *, lowest: float = 0.0
) -> tuple[Times, Times]:
    """The two ends of a step as times, s < t."""
    t, s = as_time(t, t_max, x), as_time(s, t_max, x, name="s", lowest=lowest)
    if is_concrete(t) and is_concrete(s) and bool(np.any(np.asarray(s) > np.asarray(t))):
        raise ValueError(f"s = {s} lies above t = {t}; a step goes between s < t")
    return t, s


def per_sample(a: ArrayLike, x: Array | np.ndarray) -> Array:
    """``a`` of shape () or (batch,), shaped and typed to multiply ``x`` of shape (batch, *shape)."""
    a = jnp.asarray(a)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else a.dtype
    return a.astype(dtype).reshape(a.shape + (1,) * (x.ndim - a.ndim if a.ndim else 0))


def sum_over_sample(x: Sample) -> Float[Array, "batch"]:
    """Sum over all axes except the first."""
    return jnp.sum(x, axis=tuple(range(1, x.ndim)))
