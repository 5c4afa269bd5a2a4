"""The building blocks of a score network: normalisation, residual block, attention, combination, head."""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key, UInt32

from score_sde.networks.conv import Conv
from score_sde.networks.cpu import written
from score_sde.networks.embed import Dense
from score_sde.networks.resample import Fir, down, up
from score_sde.networks.reverse_only import reverse_only

Activation: TypeAlias = Callable[[Array], Array]
Image: TypeAlias = Float[Array, "batch *spatial channels"]
Pyramid: TypeAlias = Float[Array, "batch *pyramid_spatial pyramid_channels"]  # has a size of its own
# The names of activations in a config.
ACTIVATIONS: dict[str, Activation] = {
    "elu": jax.nn.elu,
    "relu": jax.nn.relu,
    "lrelu": functools.partial(jax.nn.leaky_relu, negative_slope=0.2),
    "swish": jax.nn.swish,
}
Seeds: TypeAlias = UInt32[Array, "batch 2"] | None


class GroupNorm(nnx.Module):
    """y = γ (x − mean)/√(var + epsilon) + β, with moments over space and the channels of a group, at least in float32."""

    def __init__(self, channels: int, groups: int | None = None, *, epsilon: float = 1e-6):
        groups = max(min(channels // 4, 32), 1) if groups is None else groups
        if channels % groups:
            raise ValueError(
                f"group normalisation cannot split {channels} channels into {groups} groups; choose nf and ch_mult "
                "such that every level, and the sum of two neighbouring levels, divides (multiples of 32 always do "
                "below 128, multiples of 128 above)"
            )
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.groups = groups
        self.epsilon = epsilon

    def __call__(self, x: Image) -> Image:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        centred = wide - self._group_mean(wide)
        variance = self._group_mean(jnp.square(centred))
        scale = jax.lax.rsqrt(variance + self.epsilon) * self.scale[...].astype(wide.dtype)
        return (centred * scale + self.bias[...].astype(wide.dtype)).astype(x.dtype)

    def _group_mean(self, x: Image) -> Float[Array, "batch *ones channels"]:
        """The mean of each group, for each of its channels; first over space, then over the channels."""
        per_channel = jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))
        batch, channels = per_channel.shape
        per_group = jnp.mean(per_channel.reshape(batch, self.groups, -1), axis=-1, keepdims=True)
        means = jnp.broadcast_to(per_group, (batch, self.groups, channels // self.groups))
        return means.reshape(batch, *(1,) * (x.ndim - 2), channels)


def dropout(x: Image, seeds: Seeds, rate: int | float, layer: int) -> Image:
    """x · mask/(1 − rate); the mask of example i depends only on (seeds[i], layer), not on the rest of the batch."""
    if seeds is None or rate == 0:
        return x
    size = math.prod(x.shape[1:])
    first, second = (seeds[:, i, None] for i in (0, 1))
    bits = _mix(_mix(jnp.arange(size, dtype=jnp.uint32) ^ first) + second + np.uint32(layer * 0x9E3779B9 % 2**32))
    keep = bits >= np.uint32(round(rate * 2**32))
    return jnp.where(keep.reshape(x.shape), x / (1 - rate), 0).astype(x.dtype)


def dropout_seeds(keys: Key[Array, "batch"] | None) -> Seeds:
    """Two random words per example, from which every layer makes its mask.

    The network calls the generator once: on a CPU, drawing the masks with threefry took a third of the training step's
    compile time and of its run time outside convolutions.
    """
    return None if keys is None else jax.vmap(lambda key: jax.random.bits(key, (2,), jnp.uint32))(keys)


def _mix(x: Array) -> Array:
    """The finaliser of MurmurHash3: each input bit flips each output bit with probability near 1/2."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


class ResBlock(nnx.Module):
    """One residual block, optionally with a change of resolution inside (BigGAN, Brock et al. 2019).

    x ─ norm ─ act ─ [up|down] ─ conv ─ + e ─ norm ─ act ─ dropout ─ conv ─ + ─ [/√2]
    └──────────────── [up|down] ─────────────── [1x1] ──────────────────────┘

    e = W a(embedding) + b. The shortcut has a 1x1 convolution if the channels or the resolution change.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_features: int | None,
        *,
        activation: Activation,
        resample: Literal["up", "down"] | None = None,
        fir: Fir = None,
        shortcut_init_scale: int | float = 1.0,
        init_scale: int | float = 0.0,
        skip_rescale: bool = False,
        dropout_rate: int | float = 0.0,
        layer: int = 0,
        groups: int | None = None,
        spatial_dims: int = 2,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        conv: dict[str, Any] = {"spatial_dims": spatial_dims, "dtype": dtype, "rngs": rngs}
        self.norm_0 = GroupNorm(in_channels, groups)
        self.conv_0 = Conv(in_channels, out_channels, **conv)
        self.dense = None if embedding_features is None else Dense(
            embedding_features, out_channels, dtype=dtype, rngs=rngs
        )  # fmt: skip
        self.norm_1 = GroupNorm(out_channels, groups)
        self.conv_1 = Conv(out_channels, out_channels, init_scale=init_scale, **conv)
        changes = in_channels != out_channels or resample is not None
        self.shortcut = Conv(in_channels, out_channels, 1, init_scale=shortcut_init_scale, **conv) if changes else None
        self.activation = activation
        self.resample = resample
        self.fir = fir
        self.skip_rescale = skip_rescale
        self.dropout_rate = dropout_rate
        self.layer = layer

    def __call__(
        self, x: Image, embedding: Float[Array, "batch features"] | None, seeds: Seeds = None
    ) -> Float[Array, "batch *out_spatial out_channels"]:
        h = self.activation(self.norm_0(x))
        if self.resample is not None:
            change = {"up": up, "down": down}[self.resample]
            x, h = change(x, self.fir), change(h, self.fir)
        h = self.conv_0(h)
        if self.dense is not None and embedding is not None:
            e = self.dense(self.activation(embedding))
            h = h + e.reshape(e.shape[0], *(1,) * (h.ndim - 2), e.shape[-1])
        h = self.activation(self.norm_1(h))
        h = self.conv_1(dropout(h, seeds, self.dropout_rate, self.layer))
        return residual_sum(x if self.shortcut is None else self.shortcut(x), h, self.skip_rescale)


def check_heads(heads: int, channels: int, where: str) -> None:
    """Raise a ValueError unless the channels can be divided into heads."""
    if heads < 1 or channels % heads:
        raise ValueError(f"attention_heads = {heads} does not divide the {channels} channels of {where}")


class Attention(nnx.Module):
    """x + W_out softmax(q kᵀ/√d) v over all positions, q, k, v linear in norm(x); d = channels/heads."""

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 1,
        init_scale: int | float = 0.0,
        skip_rescale: bool = False,
        groups: int | None = None,
        implementation: Literal["xla", "cudnn"] | None = None,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_heads(heads, channels, "an attention block")
        self.norm = GroupNorm(channels, groups)
        self.query, self.key, self.value = (
            Dense(channels, channels, init_scale=0.1, dtype=dtype, rngs=rngs) for _ in range(3)
        )
        self.out = Dense(channels, channels, init_scale=init_scale, dtype=dtype, rngs=rngs)
        self.heads = heads
        self.skip_rescale = skip_rescale
        self.implementation = implementation

    def __call__(self, x: Image, context: Any = None) -> Image:
        """``context``, for other kinds of attention, is not used."""
        batch, *spatial, channels = x.shape
        tokens = self.norm(x).reshape(batch, math.prod(spatial), channels)
        q, k, v = (
            project(tokens).reshape(batch, -1, self.heads, channels // self.heads)
            for project in (self.query, self.key, self.value)
        )
        if self.implementation == "cudnn":
            q, k, v = (
                reverse_only(a, 'attention_implementation = "cudnn" has no forward mode; use "xla", or reverse mode')
                for a in (q, k, v)
            )
        h = jax.nn.dot_product_attention(q, k, v, implementation=self.implementation)  # softmax in float32
        return residual_sum(x, self.out(h.reshape(tokens.shape)).reshape(x.shape), self.skip_rescale)


class Combine(nnx.Module):
    """Combine the image pyramid and the features: 1x1 convolution of the image, "sum" or "cat"."""

    def __init__(self, image_channels: int, channels: int, *, method: str, **options: Any):
        self.conv = Conv(image_channels, channels, 1, **options)
        self.method = method

    def __call__(self, image: Pyramid, h: Image) -> Float[Array, "batch *spatial out_channels"]:
        projected = self.conv(image)
        return projected + h if self.method == "sum" else jnp.concatenate([projected, h], axis=-1)


class Head(nnx.Module):
    """conv(act(norm(h))): from features to an image."""

    def __init__(
        self, in_channels: int, out_channels: int, *, activation: Activation, groups: int | None, **options: Any
    ):
        self.norm = GroupNorm(in_channels, groups)
        self.conv = Conv(in_channels, out_channels, **options)
        self.activation = activation

    def __call__(self, h: Image) -> Float[Array, "batch *spatial out_channels"]:
        return self.conv(self.activation(self.norm(h)))


def residual_sum(x: Image, h: Image, rescale: bool) -> Image:
    """x + h, or (x + h)/√2, which preserves the variance if both have the same."""
    return written((x + h) * (1 / math.sqrt(2)) if rescale else x + h)
