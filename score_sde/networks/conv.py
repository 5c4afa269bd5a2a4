"""Convolutional layers, channels last."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.networks.cpu import conv


def variance_scaling(scale: float = 1.0):
    """Uniform with variance ``scale`` / mean(fan in, fan out); scale 0 means 1e-10, an output near 0 at first.

    The numbers are those of Flax's initialiser. XLA compiles a generator for each size; here layers share one of the
    next power of two, because number i of a draw depends only on (key, i). This makes building a U-Net 3 times faster.
    """

    def initialise(key: Key[Array, ""], shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        fan = (shape[-2] + shape[-1]) * math.prod(shape[:-2]) / 2
        deviation = jnp.sqrt(3 * jnp.array((scale or 1e-10) / fan, dtype))
        size = max(1024, 1 << (math.prod(shape) - 1).bit_length())
        return _cut(_draw(key, size, dtype), deviation, tuple(shape))

    return initialise


@functools.partial(jax.jit, static_argnums=(1, 2))
def _draw(key: Key[Array, ""], size: int, dtype: Any) -> Array:
    """U(−1, 1)."""
    return jax.random.uniform(key, (size,), dtype, -1)


@functools.partial(jax.jit, static_argnums=2)
def _cut(draw: Array, deviation: Array, shape: tuple[int, ...]) -> Array:
    return draw[: math.prod(shape)].reshape(shape) * deviation


class Conv(nnx.Module):
    """y = W * x + b, channels last, with padding that keeps the size (stride 1) or halves it (stride 2).

    stride 2, size 3:   x x x x x x x x 0
                        └─┬─┘           │       zeros are added on the far side only, as "SAME" does
                          └ y_0   y_1   y_2   y_3
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int = 3,
        *,
        spatial_dims: int = 2,
        stride: int = 1,
        init_scale: int | float = 1.0,
        bias: bool = True,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (size,) * spatial_dims + (in_channels, out_channels)
        self.kernel = nnx.Param(variance_scaling(init_scale)(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_channels)) if bias else None
        self.stride = stride
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "batch *spatial channels"], *, padded: bool = False
    ) -> Float[Array, "batch *out_spatial out_channels"]:
        """``padded``: x already includes the padding."""
        kernel = self.kernel[...].astype(self.dtype)
        bias = 0 if self.bias is None else self.bias[...].astype(self.dtype)
        sizes = kernel.shape[:-2]
        if max(sizes) == self.stride == 1:
            return x @ kernel.reshape(kernel.shape[-2:]) + bias
        missing = [0 if padded else max(k - self.stride, 0) for k in sizes]
        return conv(x, kernel, self.stride, tuple((p // 2, p - p // 2) for p in missing)) + bias
