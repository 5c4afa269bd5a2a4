"""Embeddings of a network's other inputs: the noise level and optionally a class, as one vector per example."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer

from score_sde.networks.conv import variance_scaling


class Frozen(nnx.Variable):
    """A constant among the weights (random frequencies): saved and loaded with them, but never trained."""


class Dense(nnx.Module):
    """y = x W + b over the last axis."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        init_scale: int | float = 1.0,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (in_features, out_features)
        self.kernel = nnx.Param(variance_scaling(init_scale)(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_features))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "*batch in_features"]) -> Float[Array, "*batch out_features"]:
        return x.astype(self.dtype) @ self.kernel[...].astype(self.dtype) + self.bias[...].astype(self.dtype)


def positional(level: Float[Array, "batch"], width: int) -> Float[Array, "batch width"]:
    """[sin(level ω_i), cos(level ω_i)],  ω_i = 10000^{−i/(width/2 − 1)}  (Vaswani et al. 2017)."""
    half = width // 2
    frequencies = np.exp(-math.log(10000.0) / (half - 1) * np.arange(half, dtype=np.float32))
    return _sin_cos(level[:, None] * frequencies.astype(level.dtype), width)


def _sin_cos(angles: Float[Array, "batch half"], width: int) -> Float[Array, "batch width"]:
    waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return jnp.pad(waves, ((0, 0), (0, width - waves.shape[-1])))  # an odd width ends with a zero


class NoiseEmbedding(nnx.Module):
    """e = W_1 a(W_0 φ(level) + b_0) + b_1, with features φ of the noise level:

    positional     [sin, cos](level ω), geometric ω: levels of a few hundred, such as 999 t or a label
    fourier        [sin, cos](2π w log level), w ~ N(0, scale²), frozen: levels that are a σ > 0
    fourier_raw    the same for the level itself: levels that are already a logarithm

    ``silent``: W_1 is initialised to 0, so the level has no effect at first.
    """

    def __init__(
        self,
        width: int,
        out_features: int,
        *,
        embedding_type: str,
        fourier_scale: int | float,
        activation: Callable[[Array], Array],
        silent: bool = False,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        is_positional = embedding_type == "positional"
        if is_positional and width < 4:
            raise ValueError(f"a positional embedding of width {width}: it needs at least 4 (two frequencies)")
        self.frequencies = None if is_positional else Frozen(fourier_scale * jax.random.normal(rngs.params(), (width,)))
        self.dense_0 = Dense(width if is_positional else 2 * width, out_features, dtype=dtype, rngs=rngs)
        self.dense_1 = Dense(out_features, out_features, dtype=dtype, rngs=rngs)
        if silent:
            self.dense_1.kernel = nnx.Param(jnp.zeros((out_features, out_features)))
        self.width = width
        self.embedding_type = embedding_type
        self.activation = activation

    def features(self, level: Float[Array, "batch"]) -> Float[Array, "batch features"]:
        """φ(level), at least in float32."""
        if self.frequencies is None:
            return positional(level, self.width)
        level = jnp.log(level) if self.embedding_type == "fourier" else level
        frequencies = jax.lax.stop_gradient(self.frequencies[...]).astype(level.dtype)
        return _sin_cos(level[:, None] * frequencies * (2 * math.pi), 2 * self.width)

    def __call__(self, level: Float[Array, "batch"]) -> Float[Array, "batch out_features"]:
        return self.dense_1(self.activation(self.dense_0(self.features(level))))


def embed_levels(
    first: NoiseEmbedding, second: NoiseEmbedding | None, noise_level: Float[Array, "batch *two"]
) -> Float[Array, "batch out_features"]:
    """The embedding of one noise level (batch,), or the sum of two, (batch, 2)."""
    level = noise_level.astype(jnp.promote_types(noise_level.dtype, jnp.float32))
    if level.ndim == 1 or second is None:
        return first(level)
    return first(level[:, 0]) + second(level[:, 1])


def embed_numbers(
    names: Sequence[str], embeddings: Sequence[NoiseEmbedding], condition: Mapping[str, Array] | None, batch: int
) -> list[Float[Array, "batch out_features"]]:
    """The embeddings of numbers in the condition, (batch,) each."""
    found = []
    for name, embedding in zip(names, embeddings, strict=True):
        value = None if condition is None else condition.get(name)
        if value is None or jnp.shape(value) != (batch,):
            has = "is missing" if value is None else f"has shape {jnp.shape(value)}"
            raise ValueError(f"condition[{name!r}] {has}; the network is told a number for each example, ({batch},)")
        found.append(embedding(jnp.asarray(value, jnp.float32)))
    return found


class ClassEmbedding(nnx.Module):
    """One vector per class, and with ``no_class`` another of index ``num_classes`` (classifier-free guidance)."""

    def __init__(
        self, num_classes: int, features: int, *, no_class: bool = True, dtype: Any = jnp.float32, rngs: nnx.Rngs
    ):
        self.table = nnx.Param(jax.random.normal(rngs.params(), (num_classes + no_class, features)))
        self.num_classes = num_classes
        self.no_class = no_class
        self.dtype = dtype

    def __call__(self, label: Integer[Array, "batch"]) -> Float[Array, "batch features"]:
        if not isinstance(label, jax.core.Tracer) and (wrong := self._wrong(np.asarray(label))):
            null = (
                f", and {self.num_classes} for no class" if self.no_class else "; the network has no row for no class"
            )
            raise ValueError(f'condition["label"] holds {wrong[0]}; allowed: 0 ... {self.num_classes - 1}{null}')
        # Errors cannot be raised inside jit, so a label out of range becomes NaN, which samplers report.
        label = jnp.where(label < 0, self.num_classes + 1, label)
        return jnp.take(self.table[...], label, axis=0, mode="fill", fill_value=jnp.nan).astype(self.dtype)

    def _wrong(self, label: np.ndarray) -> list[int]:
        """Those out of range. NumPy, as inside jit jnp makes tracers of known labels too."""
        return [int(y) for y in label if not 0 <= y < self.table.shape[0]]
