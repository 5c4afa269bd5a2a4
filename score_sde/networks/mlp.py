"""Networks for points and vectors: 2-D toy data, tabular data, any small data without spatial structure.

x may have any shape (batch, *shape); it is flattened at the input and reshaped at the output.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.networks.blocks import ACTIVATIONS, Activation, Seeds, dropout_seeds
from score_sde.networks.blocks import dropout as drop
from score_sde.networks.checks import (
    as_dtype,
    check_no_label,
    check_noise_level,
    check_numbers,
    check_options,
    check_shape,
    flat_size,
    labels_of,
)
from score_sde.networks.embed import ClassEmbedding, Dense, NoiseEmbedding, embed_levels, embed_numbers


class _VectorNetwork(nnx.Module):
    """The base of both networks: dense in, layers with the noise level and the class, dense out."""

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        width: int = 128,
        depth: int = 3,
        dropout: int | float = 0.0,
        embedding_type: str = "positional",
        fourier_scale: int | float = 1.0,
        nonlinearity: str = "swish",
        num_classes: int | None = None,
        second_level: bool = False,
        numbers: Sequence[str] = (),
        init_scale: int | float = 1.0,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_options(embedding_type=embedding_type, nonlinearity=nonlinearity)
        check_numbers(
            width=width,
            depth=depth,
            dropout=dropout,
            fourier_scale=fourier_scale,
            init_scale=init_scale,
            num_classes=num_classes,
        )
        dtype = as_dtype(dtype)
        activation = ACTIVATIONS[nonlinearity]
        layout: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        size = flat_size(shape)

        def noise_embedding(silent: bool = False) -> NoiseEmbedding:
            return NoiseEmbedding(
                width,
                width,
                embedding_type=embedding_type,
                fourier_scale=fourier_scale,
                activation=activation,
                silent=silent,
                **layout,
            )

        self.noise_embedding = noise_embedding()
        self.class_embedding = None if num_classes is None else ClassEmbedding(num_classes, width, **layout)
        self.dense_in = Dense(size, width, **layout)
        self.layers = nnx.List(self._layer(width, activation, dropout, i, **layout) for i in range(depth))
        self.dense_out = Dense(width, size, init_scale=init_scale, **layout)
        self.second_embedding = noise_embedding(silent=True) if second_level else None
        self.number_embeddings = nnx.List(noise_embedding(silent=True) for _ in numbers)
        self.numbers = tuple(numbers)
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.activation = activation

    def _layer(self, width: int, activation: Activation, rate: int | float, index: int, **layout: Any) -> nnx.Module:
        raise NotImplementedError

    def __call__(
        self,
        x: Float[Array, "batch *shape"],
        noise_level: Float[Array, "batch *two"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch *shape"]:
        check_shape(x, self.shape)
        check_noise_level(x, noise_level, self.second_embedding is not None)
        seeds = dropout_seeds(dropout_keys)
        with jax.named_scope("noise_embedding"):
            embedding = embed_levels(self.noise_embedding, self.second_embedding, noise_level)
            for number in embed_numbers(self.numbers, self.number_embeddings, condition, x.shape[0]):
                embedding = embedding + number
            if self.class_embedding is None:
                check_no_label(condition)
            else:
                labels = labels_of(condition, self.class_embedding.num_classes, x.shape[0])
                embedding = embedding + self.class_embedding(labels)
        with jax.named_scope("dense_in"):
            h = self.dense_in(x.reshape(x.shape[0], -1))
        for i, layer in enumerate(self.layers):
            with jax.named_scope(f"layers.{i}"):
                h = layer(h, self.activation(embedding), seeds)
        with jax.named_scope("dense_out"):
            return self.dense_out(self.activation(h)).astype(x.dtype).reshape(x.shape)


class MLPLayer(nnx.Module):
    """h ← dropout(W a(h) + U e + b)."""

    def __init__(self, width: int, activation: Activation, rate: int | float, index: int, **layout: Any):
        self.dense = Dense(width, width, **layout)
        self.told = Dense(width, width, **layout)
        self.activation = activation
        self.rate = rate
        self.index = index

    def __call__(self, h: Float[Array, "batch width"], e: Float[Array, "batch width"], seeds: Seeds):
        h = self.dense(self.activation(h)) + self.told(e)
        return drop(h, seeds, self.rate, self.index)


class _ResNetLayer(nnx.Module):
    """h ← h + W_1 dropout(a(W_0 norm(h) + U e)),  W_1 ≈ 0 at first; norm: mean 0 and variance 1 in each example."""

    def __init__(self, width: int, activation: Activation, rate: int | float, index: int, **layout: Any):
        self.dense_0 = Dense(width, width, **layout)
        self.told = Dense(width, width, **layout)
        self.dense_1 = Dense(width, width, init_scale=0.0, **layout)
        self.activation = activation
        self.rate = rate
        self.index = index

    def __call__(self, h: Float[Array, "batch width"], e: Float[Array, "batch width"], seeds: Seeds):
        wide = h.astype(jnp.promote_types(h.dtype, jnp.float32))
        normal = jax.nn.standardize(wide, axis=-1, epsilon=1e-6).astype(h.dtype)
        inner = self.activation(self.dense_0(normal) + self.told(e))
        return h + self.dense_1(drop(inner, seeds, self.rate, self.index))


class MLP(_VectorNetwork):
    """A multi-layer perceptron, conditioned on the noise level and optionally a class at every layer.

        h = W_in x,   h ← W a(h) + U a(e) + b  (depth times),   out = W_out a(h)

    ``embedding_type`` depends on the noise level: "positional" for 999 t, "fourier" for σ, "fourier_raw" for a
    logarithm.
    """

    def _layer(self, width: int, activation: Activation, rate: int | float, index: int, **layout: Any) -> nnx.Module:
        return MLPLayer(width, activation, rate, index, **layout)


class ResNet(_VectorNetwork):
    """``MLP`` with residual layers, h ← h + W_1 a(W_0 norm(h) + U a(e)), which trains where a deep ``MLP`` does not."""

    def _layer(self, width: int, activation: Activation, rate: int | float, index: int, **layout: Any) -> nnx.Module:
        return _ResNetLayer(width, activation, rate, index, **layout)
