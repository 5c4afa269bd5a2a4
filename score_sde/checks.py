"""Checks of arguments, and the one way in which numbers per sample meet arrays of samples.

A value can be looked at only where it is concrete: inside ``jax.jit`` the range of a time is unknown and is not
checked, its shape is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def is_concrete(value: ArrayLike) -> bool:
    """Whether ``value`` can be looked at now, which it cannot inside jit, vmap and grad."""
    return not isinstance(value, jax.core.Tracer)


def require(condition: bool, message: str) -> None:
    """Raise a ValueError unless the condition holds."""
    if not condition:
        raise ValueError(message)


def as_time(t: ArrayLike, t_max: float, x: Array | None = None, name: str = "t") -> Float[Array, "..."]:
    """``t`` as a floating array of shape () or (batch,), each entry in [0, t_max]."""
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
        outside = ~((values >= 0) & (values <= t_max * (1 + 1e-6)))  # NaN counts as outside
        if outside.any():
            raise ValueError(f"{name} = {values[outside].flat[0]:g} lies outside [0, t_max] = [0, {t_max:g}]")
    t = jnp.asarray(t)
    return t if jnp.issubdtype(t.dtype, jnp.floating) else t.astype(float)


def per_sample(a: ArrayLike, x: Array) -> Array:
    """``a`` of shape () or (batch,), shaped and typed to multiply ``x`` of shape (batch, *shape)."""
    a = jnp.asarray(a)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else a.dtype
    return a.astype(dtype).reshape(a.shape + (1,) * (x.ndim - a.ndim if a.ndim else 0))


def sum_over_sample(x: Float[Array, "batch *shape"]) -> Float[Array, "batch"]:
    """Sum over every axis but the first."""
    return jnp.sum(x, axis=tuple(range(1, x.ndim)))
