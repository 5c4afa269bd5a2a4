"""The blocks of ADM's U-Net; they differ from NCSN++'s in the norms, in how the embedding enters, and in the heads."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from score_sde.networks.blocks import GroupNorm, Image, Seeds, dropout
from score_sde.networks.conv import Conv
from score_sde.networks.cross_attention import Context, CrossAttention, SelfThenCross
from score_sde.networks.embed import Dense
from score_sde.networks.resample import down, up

GROUPS, EPSILON = 32, 1e-5
HeadOrder = Literal["heads_first", "qkv_first"]


@dataclasses.dataclass
class Style:
    """What all blocks share; ``layer``: the number of each block, on which its dropout mask depends."""

    told: int
    scale_shift: bool
    resample_in_blocks: bool
    resample_with_conv: bool
    head_order: HeadOrder
    dropout: int | float
    dtype: Any
    rngs: nnx.Rngs
    text_width: int | None = None  # of the tokens that cross-attentions see; None without a text
    layer: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    cross: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments common to all layers."""
        return {"dtype": self.dtype, "rngs": self.rngs}


def norm(channels: int) -> GroupNorm:
    """Always 32 groups."""
    return GroupNorm(channels, GROUPS, epsilon=EPSILON)


class TimeEmbedding(nnx.Module):
    """e = W_1 silu(W_0 φ(t) + b_0) + b_1 with φ(t) = [cos, sin](t ω_i), ω_i = 10000^(−i/h), i = 0 ... h − 1."""

    def __init__(self, width: int, out_features: int, **options: Any):
        self.dense_0 = Dense(width, out_features, **options)
        self.dense_1 = Dense(out_features, out_features, **options)
        self.width = width

    def __call__(self, t: Float[Array, "batch"]) -> Float[Array, "batch out_features"]:
        half = self.width // 2
        frequencies = np.exp(-math.log(10000.0) * np.arange(half, dtype=np.float32) / half)
        angles = t[:, None] * frequencies.astype(t.dtype)
        waves = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
        features = jnp.pad(waves, ((0, 0), (0, self.width - waves.shape[-1])))  # an odd width ends with a zero
        return self.dense_1(jax.nn.silu(self.dense_0(features)))


class Block(nnx.Module):
    """x ─ norm ─ silu ─ [up|down] ─ conv ─ (e) ─ norm ─ (e) ─ silu ─ dropout ─ conv ─ + ─ with x [up|down] [1x1].

    e = W silu(embedding) + b is added before the second norm; with ``scale_shift`` it is (a, b) and h ← norm(h)(1 + a) + b.
    """

    def __init__(self, before: int, after: int, style: Style, resample: Literal["up", "down"] | None = None):
        self.norm_0 = norm(before)
        self.conv_0 = Conv(before, after, **style.options)
        self.dense = Dense(style.told, (2 if style.scale_shift else 1) * after, **style.options)
        self.norm_1 = norm(after)
        self.conv_1 = Conv(after, after, init_scale=0.0, **style.options)
        self.shortcut = Conv(before, after, 1, **style.options) if before != after else None
        self.scale_shift = style.scale_shift
        self.resample = resample
        self.dropout_rate = style.dropout
        self.layer = next(style.layer)

    def __call__(
        self, x: Image, embedding: Float[Array, "batch features"], seeds: Seeds
    ) -> Float[Array, "batch *out_spatial out_channels"]:
        h = jax.nn.silu(self.norm_0(x))
        if self.resample is not None:
            change = {"up": up, "down": down}[self.resample]
            x, h = change(x), change(h)
        h = self.conv_0(h)
        e = self.dense(jax.nn.silu(embedding))[:, None, None, :]
        if self.scale_shift:
            scale, shift = jnp.split(e, 2, axis=-1)
            h = self.norm_1(h) * (1 + scale) + shift
        else:
            h = self.norm_1(h + e)
        h = self.conv_1(dropout(jax.nn.silu(h), seeds, self.dropout_rate, self.layer))
        return h + (x if self.shortcut is None else self.shortcut(x))


class SelfAttention(nnx.Module):
    """x + W_out softmax(q kᵀ/√d) v over all positions, d = channels/heads.

    ``head_order``: whether the 3 · channels of the projection are first split into heads, as in the published models, or
    into q, k and v.
    """

    def __init__(self, channels: int, heads: int, style: Style):
        if channels % heads:
            raise ValueError(f"{heads} attention heads do not divide {channels} channels")
        self.norm = norm(channels)
        self.qkv = Dense(channels, 3 * channels, **style.options)
        self.out = Dense(channels, channels, init_scale=0.0, **style.options)
        self.heads = heads
        self.head_order: HeadOrder = style.head_order

    def __call__(self, x: Image, context: Context | None = None) -> Image:
        batch, *_, channels = x.shape
        projected = self.qkv(self.norm(x)).reshape(batch, -1, 3 * channels)
        size = channels // self.heads
        if self.head_order == "heads_first":
            q, k, v = (a[..., 0, :] for a in jnp.split(projected.reshape(batch, -1, self.heads, 3, size), 3, axis=-2))
        else:
            q, k, v = (a[:, :, 0] for a in jnp.split(projected.reshape(batch, -1, 3, self.heads, size), 3, axis=2))
        h = jax.nn.dot_product_attention(q, k, v)  # softmax in float32
        return x + self.out(h.reshape(batch, -1, channels)).reshape(x.shape)


def attention(channels: int, heads: int, style: Style) -> SelfAttention | SelfThenCross:
    """Over the positions; then, with a text, to its tokens."""
    own = SelfAttention(channels, heads, style)
    if style.text_width is None:
        return own
    options: dict[str, Any] = {"heads": heads, "groups": GROUPS, **style.options}
    return SelfThenCross(own, CrossAttention(channels, style.text_width, next(style.cross), **options))


class Downsample(nnx.Module):
    """A 3x3 convolution of stride 2 with zeros on all sides, or the mean of 2 x 2 pixels."""

    def __init__(self, channels: int, style: Style):
        self.conv = Conv(channels, channels, stride=2, **style.options) if style.resample_with_conv else None

    def __call__(self, x: Image, embedding, seeds) -> Float[Array, "batch *half channels"]:
        around = ((0, 0), (1, 1), (1, 1), (0, 0))
        return down(x) if self.conv is None else self.conv(jnp.pad(x, around), padded=True)


class Upsample(nnx.Module):
    """Each pixel twice along each axis, then maybe a 3x3 convolution."""

    def __init__(self, channels: int, style: Style):
        self.conv = Conv(channels, channels, **style.options) if style.resample_with_conv else None

    def __call__(self, x: Image, embedding, seeds) -> Float[Array, "batch *double channels"]:
        return up(x) if self.conv is None else self.conv(up(x))


class Level(nnx.Module):
    """The blocks of one resolution, attention after each if it has any, and at last a change of the resolution."""

    def __init__(self, blocks: list[Block], attentions: list[SelfAttention | SelfThenCross], resample: Any):
        self.blocks = nnx.List(blocks)
        self.attentions = nnx.List(attentions)
        self.resample = resample
