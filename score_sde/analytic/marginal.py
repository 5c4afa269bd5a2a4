"""Shared by the exact distributions."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde.checks import Sample, as_time, require
from score_sde.sde import SDE


def marginal(sde: SDE | None, x: Sample, t: ArrayLike | None) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    """α and σ for each sample, in the dtype of x; without an SDE those of the data, 1 and 0."""
    if sde is None or t is None:
        require(sde is None and t is None, "give both sde and t (for the density of x_t), or neither (of x_0)")
        return jnp.ones(x.shape[:1], x.dtype), jnp.zeros(x.shape[:1], x.dtype)
    t = jnp.broadcast_to(as_time(t, sde.t_max, x), x.shape[:1])
    return sde.alpha(t).astype(x.dtype), sde.sigma(t).astype(x.dtype)


def check_shape(x: Sample, shape: tuple[int, ...], name: str) -> None:
    """Raise a ValueError unless x is a batch of arrays of this shape."""
    require(x.shape[1:] == shape, f"x has shape {x.shape}; this {name} is over arrays of shape {shape}, (batch, ...)")
