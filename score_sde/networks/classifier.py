"""Classifiers of noisy data: the encoder of a U-Net, or a perceptron for points, followed by logits.

They have the signature of score networks and return (batch, classes).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.networks.blocks import ACTIVATIONS, GroupNorm, dropout_seeds
from score_sde.networks.checks import (
    as_dtype,
    check_each,
    check_input,
    check_levels,
    check_noise_level,
    check_numbers,
    check_options,
    check_shape,
    flat_size,
    usual_levels,
)
from score_sde.networks.embed import Dense, NoiseEmbedding
from score_sde.networks.mlp import MLPLayer
from score_sde.networks.parts import Parts
from score_sde.networks.pool import AttentionPool, mean_over_space


class Classifier(nnx.Module):
    """A U-Net's encoder and middle, a pool over space, and a linear layer (Dhariwal & Nichol 2021, appendix H).

    The options are those of ``NCSNpp``. ``pool``: the "mean" over space, or "attention" as in guided-diffusion, which
    learns an embedding of each position and so takes images of ``image_size`` alone. The last layer is initialised near 0:
    all classes are equally likely at first.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        num_classes: int,
        nf: int = 64,
        ch_mult: Sequence[int] | None = None,
        num_res_blocks: int = 2,
        attn_resolutions: Sequence[int] | None = None,
        attention_heads: int = 1,
        dropout: int | float = 0.1,
        embedding_type: str = "fourier_raw",
        fourier_scale: int | float = 1.0,
        nonlinearity: str = "swish",
        pool: str = "mean",
        spatial_dims: int = 2,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_options(embedding_type=embedding_type, nonlinearity=nonlinearity, pool=pool)
        check_numbers(
            nf=nf,
            num_res_blocks=num_res_blocks,
            attention_heads=attention_heads,
            channels=channels,
            dropout=dropout,
            fourier_scale=fourier_scale,
            num_classes=num_classes,
        )
        usual = usual_levels(image_size)
        ch_mult = usual[0] if ch_mult is None else ch_mult
        attn_resolutions = usual[1] if attn_resolutions is None else attn_resolutions
        check_each("ch_mult", ch_mult)
        resolutions = check_levels(image_size, spatial_dims, len(ch_mult), attn_resolutions)
        width, activation = 4 * nf, ACTIVATIONS[nonlinearity]
        parts = Parts(
            channels=channels,
            activation=activation,
            told=width,
            spatial_dims=spatial_dims,
            dtype=as_dtype(dtype),
            rngs=rngs,
            dropout=dropout,
            attention_heads=attention_heads,
        )
        self.noise_embedding = NoiseEmbedding(
            nf, width, embedding_type=embedding_type, fourier_scale=fourier_scale, activation=activation, **parts.layout
        )
        self.conv_in = parts.conv_in(nf)
        self.down, kept = parts.way_down(nf, ch_mult, num_res_blocks, [r in attn_resolutions for r in resolutions])
        self.middle = parts.middle(kept[-1])
        self.norm = GroupNorm(kept[-1])
        sizes = (image_size,) * spatial_dims if isinstance(image_size, int) else tuple(image_size)
        lowest = [size >> (len(ch_mult) - 1) for size in sizes]
        self.pool = (
            AttentionPool(lowest, kept[-1], heads=attention_heads, **parts.layout) if pool == "attention" else None
        )
        self.logits = Dense(kept[-1], num_classes, init_scale=0.0, **parts.layout)
        self.activation = activation
        self.channels = channels
        self.spatial_dims = spatial_dims
        self.dtype = parts.dtype

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
        check_input(x, noise_level, self.channels, self.spatial_dims, len(self.down))
        seeds = dropout_seeds(dropout_keys)
        with jax.named_scope("noise_embedding"):
            embedding = self.noise_embedding(noise_level.astype(jnp.promote_types(noise_level.dtype, jnp.float32)))
        with jax.named_scope("conv_in"):
            h = self.conv_in(x.astype(self.dtype))
        for i, level in enumerate(self.down):
            with jax.named_scope(f"down.{i}"):
                h, _, _ = level(h, h, embedding, seeds)
        with jax.named_scope("middle"):
            h = self.middle(h, embedding, seeds)
        h = self.activation(self.norm(h))
        if self.pool is None:
            return mean_over_space(h)
        with jax.named_scope("pool"):
            return self.pool(h)


class VectorClassifier(nnx.Module):
    """A classifier of points and vectors, with the layers of ``MLP``."""

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        num_classes: int,
        width: int = 128,
        depth: int = 2,
        dropout: int | float = 0.0,
        embedding_type: str = "fourier_raw",
        fourier_scale: int | float = 1.0,
        nonlinearity: str = "swish",
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_options(embedding_type=embedding_type, nonlinearity=nonlinearity)
        check_numbers(width=width, depth=depth, dropout=dropout, fourier_scale=fourier_scale, num_classes=num_classes)
        activation = ACTIVATIONS[nonlinearity]
        layout: dict[str, Any] = {"dtype": as_dtype(dtype), "rngs": rngs}
        self.noise_embedding = NoiseEmbedding(
            width, width, embedding_type=embedding_type, fourier_scale=fourier_scale, activation=activation, **layout
        )
        self.dense_in = Dense(flat_size(shape), width, **layout)
        self.layers = nnx.List(MLPLayer(width, activation, dropout, i, **layout) for i in range(depth))
        self.logits = Dense(width, num_classes, init_scale=0.0, **layout)
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.activation = activation

    def __call__(
        self,
        x: Float[Array, "batch *shape"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch classes"]:
        return self.logits(self.features(x, noise_level, condition, dropout_keys=dropout_keys)).astype(x.dtype)

    def features(
        self,
        x: Float[Array, "batch *shape"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch width"]:
        """The input of the last layer."""
        check_shape(x, self.shape)
        check_noise_level(x, noise_level)
        seeds = dropout_seeds(dropout_keys)
        embedding = self.noise_embedding(noise_level.astype(jnp.promote_types(noise_level.dtype, jnp.float32)))
        h = self.dense_in(x.reshape(x.shape[0], -1))
        for layer in self.layers:
            h = layer(h, self.activation(embedding), seeds)
        return self.activation(h)
