"""Wide residual networks as classifiers of noisy images (Zagoruyko & Komodakis 2016; Song et al. 2021, appendix I).

    conv 16 ─ 16k channels ─ 32k channels at half the resolution ─ 64k channels at a quarter ─ norm, act, mean ─ logits

Each of the three groups has n blocks: WRN-28-10 is n = 4, k = 10 (28 = 6 n + 4 layers). The network is that of score_sde,
which differs from the paper's: normalisation is over groups of channels rather than the batch, so that an example's logits
do not depend on its neighbours; each block is told the noise level; shortcuts have no weights.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.networks.blocks import ACTIVATIONS, Activation, GroupNorm, Image, Seeds, dropout, dropout_seeds
from score_sde.networks.checks import as_dtype, check_input, check_levels, check_numbers, check_options
from score_sde.networks.conv import Conv
from score_sde.networks.embed import Dense, NoiseEmbedding
from score_sde.networks.pool import mean_over_space
from score_sde.networks.resample import down

GROUPS = 3


class WideBlock(nnx.Module):
    """x ─ norm ─ act ─ conv [stride 2] ─ + W swish(embedding) + b ─ norm ─ act ─ dropout ─ conv ─ + ─

    The shortcut is x, with ``activated`` act(norm(x)); where the channels change, means of 2 x 2 pixels if these are halved,
    and zeros for the further channels. Convolutions have no bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_features: int,
        *,
        stride: int,
        activated: bool,
        activation: Activation,
        rate: int | float,
        layer: int,
        spatial_dims: int,
        dtype: Any,
        rngs: nnx.Rngs,
    ):
        conv: dict[str, Any] = {"spatial_dims": spatial_dims, "bias": False, "dtype": dtype, "rngs": rngs}
        self.norm_0 = GroupNorm(in_channels)
        self.conv_0 = Conv(in_channels, out_channels, stride=stride, **conv)
        self.dense = Dense(embedding_features, out_channels, dtype=dtype, rngs=rngs)
        self.norm_1 = GroupNorm(out_channels)
        self.conv_1 = Conv(out_channels, out_channels, **conv)
        self.added = out_channels - in_channels
        self.stride = stride
        self.activated = activated
        self.activation = activation
        self.rate = rate
        self.layer = layer

    def __call__(
        self, x: Image, embedding: Float[Array, "batch features"], seeds: Seeds
    ) -> Float[Array, "batch *out_spatial out_channels"]:
        first = self.activation(self.norm_0(x))
        e = self.dense(jax.nn.swish(embedding))
        h = self.conv_0(first) + e.reshape(e.shape[0], *(1,) * (x.ndim - 2), e.shape[-1])
        h = self.activation(self.norm_1(h))
        h = self.conv_1(dropout(h, seeds, self.rate, self.layer))
        shortcut = first if self.activated else x
        shortcut = down(shortcut) if self.stride > 1 else shortcut
        return h + jnp.pad(shortcut, (*((0, 0),) * (x.ndim - 1), (0, self.added)))


class WideResNet(nnx.Module):
    """WRN-(6n + 4)-k with the noise level: n = ``num_res_blocks``, k = ``width``; by default 39 million parameters.

    Each image is standardised to mean 0 and standard deviation 1. The other options are those of ``Classifier``. The last
    layer is initialised near 0: all classes are equally likely at first.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        num_classes: int,
        num_res_blocks: int = 4,
        width: int = 10,
        nf: int = 16,
        dropout: int | float = 0.0,
        embedding_type: str = "fourier_raw",
        fourier_scale: int | float = 1.0,
        nonlinearity: str = "relu",
        spatial_dims: int = 2,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_options(embedding_type=embedding_type, nonlinearity=nonlinearity)
        check_numbers(
            num_res_blocks=num_res_blocks,
            width=width,
            nf=nf,
            channels=channels,
            dropout=dropout,
            fourier_scale=fourier_scale,
            num_classes=num_classes,
        )
        check_levels(image_size, spatial_dims, GROUPS, ())
        self.activation, self.dtype = ACTIVATIONS[nonlinearity], as_dtype(dtype)
        layout: dict[str, Any] = {"dtype": self.dtype, "rngs": rngs}
        spatial: dict[str, Any] = {"spatial_dims": spatial_dims, **layout}
        features = 32 * nf
        self.noise_embedding = NoiseEmbedding(
            8 * nf,
            features,
            embedding_type=embedding_type,
            fourier_scale=fourier_scale,
            activation=jax.nn.swish,
            **layout,
        )
        self.conv_in = Conv(channels, nf, bias=False, **spatial)
        blocks: list[WideBlock] = []
        before = nf
        for group in range(GROUPS):
            after = nf * width * 2**group
            for first in (True, *(False,) * (num_res_blocks - 1)):
                options: dict[str, Any] = {"activation": self.activation, "rate": dropout, "layer": len(blocks)}
                options["activated"] = not blocks
                stride = 2 if first and group > 0 else 1
                blocks.append(WideBlock(before, after, features, stride=stride, **options, **spatial))
                before = after
        self.blocks = nnx.List(blocks)
        self.norm = GroupNorm(before)
        self.logits = Dense(before, num_classes, init_scale=0.0, **layout)
        self.channels = channels
        self.spatial_dims = spatial_dims

    def __call__(
        self,
        x: Float[Array, "batch *spatial channels"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch classes"]:
        mean = self.features(x, noise_level, condition, dropout_keys=dropout_keys)
        with jax.named_scope("logits"):
            return self.logits(mean).astype(x.dtype)

    def features(
        self,
        x: Float[Array, "batch *spatial channels"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch width"]:
        """The input of the last layer."""
        check_input(x, noise_level, self.channels, self.spatial_dims, GROUPS)
        seeds = dropout_seeds(dropout_keys)
        with jax.named_scope("noise_embedding"):
            embedding = self.noise_embedding(noise_level.astype(jnp.promote_types(noise_level.dtype, jnp.float32)))
        with jax.named_scope("conv_in"):
            h = self.conv_in(standardised(x).astype(self.dtype))
        for i, block in enumerate(self.blocks):
            with jax.named_scope(f"blocks.{i}"):
                h = block(h, embedding, seeds)
        return mean_over_space(self.activation(self.norm(h)))


def standardised(x: Float[Array, "batch *spatial channels"]) -> Float[Array, "batch *spatial channels"]:
    """Mean 0 and standard deviation 1 over each image; an image of one colour stays finite."""
    axes = tuple(range(1, x.ndim))
    mean, std = jnp.mean(x, axes, keepdims=True), jnp.std(x, axes, keepdims=True)
    return (x - mean) / jnp.maximum(std, 1 / math.sqrt(x[0].size))
