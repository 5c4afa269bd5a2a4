"""Random keys: one key for each example or sample, folded with a number for each purpose.

    training     first parameters          fold_in(key, INITIALISATION)
                 which examples, flips     a hash of (seed, epoch, index); see data/batches.py
                 example i of step k       fold_in(fold_in(fold_in(key, k), i), purpose)
    sampling     sample i                  fold_in(fold_in(key, i), 0) for its latent, 1 + r for the noise of row r
    evaluation   example i                 fold_in(fold_in(key, i), purpose)

Nothing depends on the batch size, the other examples in a batch, or the devices.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Int, Key


class Purpose(IntEnum):
    """The number with which an example's key is folded. The results of every run depend on it: never change one."""

    TIME = 0
    NOISE = 1
    DROPOUT = 2
    CONDITION = 3  # the dropping of conditions
    DEQUANTIZATION = 4
    SECOND = 5  # keys for a second time and noise of the same example
    NUMBER = 6  # leaves of a condition that are drawn
    MADE = 7  # leaves of a condition that are made from the picture


OF_CONDITIONS = 0xC0ED
"""Folded into the key of an evaluation before the examples' indices, for leaves that are made: samples have those keys."""
INITIALISATION = 0x1217  # also the key of step 4631, but examples fold that twice more: no draw is shared


def check_key(key: Any) -> None:
    """Raise a TypeError for an integer in place of a key."""
    if not hasattr(key, "dtype") or (jnp.ndim(key) == 0 and not jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise TypeError(f"key = {key!r} is no random key; give jax.random.key({key if isinstance(key, int) else 0})")


def example_keys(key: Key[Array, ""], step: ArrayLike, position: Int[Array, "batch"]) -> Key[Array, "batch"]:
    """fold_in(fold_in(key, step), position) for each example of a batch."""
    return keys_of(jax.random.fold_in(key, step), position)


def keys_of(key: Key[Array, ""], index: Int[Array, "batch"]) -> Key[Array, "batch"]:
    """fold_in(key, i) for each index i."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)


def for_each(keys: Key[Array, "batch"], purpose: int, draw: Callable[[Key[Array, ""]], Any] = lambda key: key) -> Any:
    """``draw(key)`` for each example, with its own key for this purpose; by default the keys themselves."""
    return jax.vmap(lambda key: draw(jax.random.fold_in(key, purpose)))(keys)
