"""Discrete chains of noise levels, read at continuous times."""

import jax.numpy as jnp
from jaxtyping import Array, Int

from score_sde.sde.base import Times


def level_at(t: Times, num_scales: int) -> Int[Array, "..."]:
    """Level k = t (N − 1), cut down to an integer as the original does."""
    return jnp.floor(t * (num_scales - 1)).astype(int)


def levels_between(t: Times, s: Times, num_scales: int) -> tuple[Int[Array, "..."], Int[Array, "..."], Times]:
    """The entries (k_s, k_t] of a table of ``num_scales`` levels that a step between s and t covers, and its share.

    A step covers at least one level;
    where it is shorter than a level (a grid finer than the table) the share of that level is returned.
    """
    span = (t - s) * num_scales
    k_t = level_at(t, num_scales)
    k_s = jnp.minimum(level_at(s, num_scales), k_t - 1)
    fine = span < 0.75
    return jnp.where(fine, k_t - 1, k_s), k_t, jnp.where(fine, span, 1.0)
