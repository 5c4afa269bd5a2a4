"""Tokens from the features of an image, by asking them (IP-Adapter Plus, Ye et al. 2023; Perceiver, Jaegle et al. 2021).

z ← z + Attn(W_q LN(z); [LN(x), LN(z)])        z: learned queries, x: the features
z ← z + W_2 gelu(W_1 LN(z))                     ``depth`` times
tokens = LN(W z)
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from score_sde.networks.blocks import check_heads
from score_sde.networks.embed import Dense


class Asking(nnx.Module):
    """One layer."""

    def __init__(self, width: int, heads: int, *, dtype: Any, rngs: nnx.Rngs):
        layout: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.norm_x, self.norm_z, self.norm = (nnx.LayerNorm(width, epsilon=1e-5, **layout) for _ in range(3))
        self.query, self.key, self.value, self.out = (Dense(width, width, **layout) for _ in range(4))
        self.wide, self.narrow = Dense(width, 4 * width, **layout), Dense(4 * width, width, **layout)
        self.heads = heads

    def __call__(
        self, z: Float[Array, "batch queries width"], x: Float[Array, "batch n width"]
    ) -> Float[Array, "batch queries width"]:
        own = self.norm_z(z)
        seen = jnp.concatenate([self.norm_x(x), own], axis=1)
        q, k, v = (
            each.reshape(*each.shape[:2], self.heads, -1)
            for each in (self.query(own), self.key(seen), self.value(seen))
        )
        z = z + self.out(jax.nn.dot_product_attention(q, k, v).reshape(z.shape))
        return z + self.narrow(jax.nn.gelu(self.wide(self.norm(z))))


class Resampler(nnx.Module):
    """``tokens`` vectors of ``width`` from vectors (batch, n, ``features``), whatever n."""

    def __init__(
        self,
        features: int,
        *,
        tokens: int,
        width: int,
        depth: int = 4,
        heads: int = 4,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_heads(heads, width, "the resampler")
        layout: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.project = Dense(features, width, **layout)
        self.queries = nnx.Param(jax.random.normal(rngs.params(), (tokens, width)) / width**0.5)
        self.layers = nnx.List(Asking(width, heads, **layout) for _ in range(depth))
        self.out, self.norm = Dense(width, width, **layout), nnx.LayerNorm(width, epsilon=1e-5, **layout)

    def __call__(self, features: Float[Array, "batch n features"]) -> Float[Array, "batch tokens width"]:
        x = self.project(features)
        z = jnp.broadcast_to(self.queries[...], (len(x), *self.queries.shape)).astype(x.dtype)
        for layer in self.layers:
            z = layer(z, x)
        return self.norm(self.out(z))
