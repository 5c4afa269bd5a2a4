"""Pooling features over space into one vector for each example, at the end of a classifier."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from score_sde.networks.blocks import Image, check_heads
from score_sde.networks.embed import Dense


def mean_over_space(h: Image) -> Float[Array, "batch channels"]:
    """The mean over all positions."""
    return jnp.mean(h, axis=tuple(range(1, h.ndim - 1)))


class AttentionPool(nnx.Module):
    """The mean over space asks all positions (Radford et al. 2021, section 2.4; Dhariwal & Nichol 2021, appendix H):

    tokens = [mean(h), h_1 ... h_n] + E,     softmax(q_0 kᵀ/√d) v  for the first token,  q, k, v linear in the tokens.

    E is learned, one row for each token, so the number of positions n is fixed; d = channels/heads.
    """

    def __init__(
        self, sizes: Sequence[int], channels: int, *, heads: int = 1, dtype: Any = jnp.float32, rngs: nnx.Rngs
    ):
        check_heads(heads, channels, "the attention pool")
        rows = (math.prod(sizes) + 1, channels)
        self.positions = nnx.Param(jax.random.normal(rngs.params(), rows) / math.sqrt(channels))
        self.query, self.key, self.value = (Dense(channels, channels, dtype=dtype, rngs=rngs) for _ in range(3))
        self.sizes = tuple(sizes)
        self.heads = heads

    def __call__(self, h: Image) -> Float[Array, "batch channels"]:
        batch, *sizes, channels = h.shape
        if tuple(sizes) != self.sizes:
            raise ValueError(
                f"the attention pool has positions for features of {self.sizes}, but they are {tuple(sizes)}: it takes "
                'images of its image_size alone; pool = "mean" takes any'
            )
        tokens = jnp.concatenate([mean_over_space(h)[:, None], h.reshape(batch, -1, channels)], axis=1)
        tokens = tokens + self.positions[...].astype(h.dtype)
        q, k, v = (
            project(each).reshape(batch, -1, self.heads, channels // self.heads)
            for project, each in ((self.query, tokens[:, :1]), (self.key, tokens), (self.value, tokens))
        )
        return jax.nn.dot_product_attention(q, k, v).reshape(batch, channels)  # softmax in float32
