"""Discrete chains of noise levels k = 0 … N − 1 at the continuous times t = k/(N − 1)."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from score_sde.checks import Times, require


def level_at(t: Times, num_scales: int) -> Int[Array, "..."]:
    """The level k = t (N − 1), rounded down as in the original."""
    return jnp.floor(t * (num_scales - 1)).astype(int)


def time_of_level(k: ArrayLike, num_scales: int) -> Times:
    """The time t = k/(N − 1), rounded up so that ``level_at`` returns the same level."""
    t = jnp.nextafter(jnp.asarray(k) / (num_scales - 1), np.inf)
    return jnp.minimum(t, 1.0)


def levels_between(
    t: Times, s: Times, num_scales: int, t_max: float
) -> tuple[Int[Array, "..."], Int[Array, "..."], Times]:
    """(k_s, k_t, share): the levels (k_s, k_t] that a step between s and t covers, and its share of them.

    A step covers at least one level. If it is shorter than a level (a grid finer than the chain), ``share`` is its
    fraction of it, else 1.
    """
    require(t_max <= 1, f"t_max = {t_max}; the discrete chain of num_scales levels ends at t = 1")
    span = (t - s) * num_scales
    k_t = level_at(t, num_scales)
    k_s = jnp.maximum(jnp.minimum(level_at(s, num_scales), k_t - 1), -1)
    fine = span < 0.75
    return jnp.where(fine, k_t - 1, k_s), k_t, jnp.where(fine, span, 1.0)
