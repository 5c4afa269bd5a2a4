"""Dilated convolutions and resizing, channels last."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.networks.blocks import Image
from score_sde.networks.cpu import conv

Resize = Literal["align_corners", "half_pixel"]


def uniform(key: Key[Array, ""], shape: tuple[int, ...], fan_in: int) -> Array:
    """U(−1/√fan_in, 1/√fan_in): the initial weights and biases of PyTorch's convolutions."""
    bound = 1 / math.sqrt(fan_in)
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


class Conv(nnx.Module):
    """y[o] = Σ_k x[o + d (k − 1)] w[k] + b with dilation d; zeros beyond the border keep the size."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int = 3,
        *,
        dilation: int = 1,
        bias: bool = True,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        fan_in = size * size * in_channels
        self.kernel = nnx.Param(uniform(rngs.params(), (size, size, in_channels, out_channels), fan_in))
        self.bias = nnx.Param(uniform(rngs.params(), (out_channels,), fan_in)) if bias else None
        self.dilation = dilation
        self.dtype = dtype

    def __call__(self, x: Image) -> Float[Array, "batch *spatial out_channels"]:
        kernel = self.kernel[...].astype(self.dtype)
        margin = kernel.shape[0] // 2
        y = dilated(x, kernel, self.dilation) if self.dilation > 1 else conv(x, kernel, 1, ((margin, margin),) * 2)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


def dilated(
    x: Float[Array, "batch h w channels"], kernel: Float[Array, "3 3 channels out_channels"], d: int
) -> Float[Array, "batch h w out_channels"]:
    """A convolution of dilation d as ordinary ones of the d² images of every d-th pixel, which have fast gradients."""
    batch, h, w, _ = x.shape
    rows, columns = -(-h // d), -(-w // d)
    x = jnp.pad(x, ((0, 0), (0, rows * d - h), (0, columns * d - w), (0, 0)))
    parts = (
        x.reshape(batch, rows, d, columns, d, -1).transpose(2, 4, 0, 1, 3, 5).reshape(-1, rows, columns, x.shape[-1])
    )
    y = conv(parts, kernel, 1, ((1, 1), (1, 1)))
    y = y.reshape(d, d, batch, rows, columns, -1).transpose(2, 3, 0, 4, 1, 5)
    return y.reshape(batch, rows * d, columns * d, -1)[:, :h, :w]


class MeanPooled(nnx.Module):
    """A convolution, then the mean of each 2 x 2 pixels."""

    def __init__(self, in_channels: int, out_channels: int, size: int = 3, **options: Any):
        self.conv = Conv(in_channels, out_channels, size, **options)

    def __call__(self, x: Image) -> Float[Array, "batch *half out_channels"]:
        return nnx.avg_pool(self.conv(x), (2, 2), (2, 2))


def resize(x: Image, size: tuple[int, ...], method: Resize) -> Float[Array, "batch *size channels"]:
    """Bilinear: the corner pixels, or the corners of the images, keep their places."""
    if x.shape[1:-1] == size:
        return x
    shape = (x.shape[0], *size, x.shape[-1])
    if method == "half_pixel":
        return jax.image.resize(x, shape, "bilinear", antialias=False)
    n, out = np.array(x.shape[1:-1]), np.array(size)
    scales = np.where(n > 1, (out - 1) / np.maximum(n - 1, 1), out)
    shifts = np.where(n > 1, (1 - scales) / 2, 0.0)  # pixel i has its centre at i + 1/2
    return jax.image.scale_and_translate(
        x, shape, (1, 2), jnp.asarray(scales, x.dtype), jnp.asarray(shifts, x.dtype), "linear", antialias=False
    )
