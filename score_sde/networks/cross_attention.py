"""Cross-attention from the pixels of a U-Net to tokens, such as a caption's words (Rombach et al. 2022, section 3.3)."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from score_sde.networks.blocks import GroupNorm, Image, check_heads, residual_sum
from score_sde.networks.embed import Dense


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Context:
    """What a network is told in tokens. ``mask``: which of them are there; at least one.

    ``more``: keys and values of further tokens for each cross-attention, by its number, and their weight (see
    ``CrossAttention``); empty without.
    """

    tokens: Float[Array, "batch tokens width"]
    mask: Bool[Array, "batch tokens"]
    more: tuple[tuple[Array, Array, Array], ...] = ()


class CrossAttention(nnx.Module):
    """x + W_out [Attn(q, K, V) + s Attn(q, K', V')],  q linear in norm(x), K and V in the tokens.

    K' and V' are those of ``Context.more`` at this place, s the weight of each example (decoupled cross-attention, Ye et al.
    2023). ``number``: which of the network's cross-attentions this is.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        number: int,
        *,
        heads: int = 1,
        init_scale: int | float = 0.0,
        skip_rescale: bool = False,
        groups: int | None = None,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_heads(heads, channels, "an attention block")
        self.norm = GroupNorm(channels, groups)
        self.query = Dense(channels, channels, dtype=dtype, rngs=rngs)
        self.key, self.value = (Dense(width, channels, dtype=dtype, rngs=rngs) for _ in range(2))
        self.out = Dense(channels, channels, init_scale=init_scale, dtype=dtype, rngs=rngs)
        self.number = number
        self.heads = heads
        self.skip_rescale = skip_rescale

    def __call__(self, x: Image, context: Context) -> Image:
        batch, *spatial, channels = x.shape
        q = self._split(self.query(self.norm(x).reshape(batch, math.prod(spatial), channels)))
        k, v = (self._split(project(context.tokens)) for project in (self.key, self.value))
        h = jax.nn.dot_product_attention(q, k, v, mask=context.mask[:, None, None, :])
        if context.more:
            k, v, weight = context.more[self.number]
            h = h + weight[:, None, None, None].astype(h.dtype) * jax.nn.dot_product_attention(
                q, self._split(k), self._split(v)
            )
        return residual_sum(x, self.out(h.reshape(batch, -1, channels)).reshape(x.shape), self.skip_rescale)

    def _split(self, a: Float[Array, "batch tokens channels"]) -> Float[Array, "batch tokens heads size"]:
        return a.reshape(*a.shape[:2], self.heads, -1)


class SelfThenCross(nnx.Module):
    """Attention over the pixels, then to the tokens."""

    def __init__(self, attention: Any, cross: CrossAttention):
        self.attention = attention
        self.cross = cross

    def __call__(self, x: Image, context: Context | None = None) -> Image:
        assert context is not None
        return self.cross(self.attention(x), context)
