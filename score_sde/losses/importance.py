"""Levels of a chain drawn where the loss is large (Nichol & Dhariwal 2021, section 3.3).

p_k ∝ √E L_k², over the last losses seen at each level, with a small uniform part; uniform until every level has enough.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from score_sde.checks import require

FLOOR = 1e-3
"""The share of levels drawn uniformly."""


class LossTable(NamedTuple):
    """The last losses of each level, oldest first, and how many there are."""

    losses: Float[Array, "levels history"]
    counts: Int[Array, "levels"]


def empty_table(levels: int, history: int = 10) -> LossTable:
    """Before the first loss."""
    require(levels >= 1 and history >= 1, f"levels = {levels}, history = {history}; allowed: 1 or more of each")
    return LossTable(jnp.zeros((levels, history)), jnp.zeros(levels, int))


def probabilities(table: LossTable) -> Float[Array, "levels"]:
    """p_k."""
    levels, history = table.losses.shape
    root = jnp.sqrt(jnp.mean(table.losses**2, axis=1))
    by_loss = (1 - FLOOR) * root / jnp.maximum(jnp.sum(root), jnp.finfo(root.dtype).tiny) + FLOOR / levels
    return jnp.where(jnp.all(table.counts == history), by_loss, 1 / levels)


def drawn(table: LossTable, u: Float[Array, "batch"]) -> tuple[Int[Array, "batch"], Float[Array, "batch"]]:
    """(levels k with probability p_k, these p_k) from u uniform in [0, 1]."""
    p = probabilities(table)
    total = jnp.cumsum(p)
    k = jnp.minimum(jnp.searchsorted(total, u * total[-1], side="right"), len(p) - 1)
    return k, p[k]


def updated(table: LossTable, k: Int[Array, "batch"], losses: Float[Array, "batch"]) -> LossTable:
    """The table after these losses, one after the other; a full row forgets its oldest."""
    history = table.losses.shape[1]

    def add(table: LossTable, one: tuple[Array, Array]) -> tuple[LossTable, None]:
        level, loss = one
        row, count = table.losses[level], table.counts[level]
        full = count == history
        row = jnp.where(full, jnp.roll(row, -1), row).at[jnp.where(full, history - 1, count)].set(loss)
        return LossTable(
            table.losses.at[level].set(row), table.counts.at[level].set(jnp.minimum(count + 1, history))
        ), None

    return jax.lax.scan(add, table, (k, losses))[0]
