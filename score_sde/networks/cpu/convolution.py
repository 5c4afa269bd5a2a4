"""Convolutions whose gradients on a CPU are plain channels-last convolutions, or Winograd's.

y[o] = Σ_k x[o·stride + k − lo] w[k]                   along each spatial axis, for padding (lo, hi)
dx[i] = Σ_k dy[o] w[k]  over (o, k) with o·stride + k − lo = i: a convolution of dy with w reversed
dw[k] = Σ_o x[o·stride + k − lo] dy[o]: a convolution of x with dy as the kernel, batch and channels exchanged
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from score_sde.networks.cpu import winograd
from score_sde.networks.cpu.primitives import Form, trilinear

Padding: TypeAlias = tuple[tuple[int, int], ...]


class Geometry(NamedTuple):
    """The static arguments of y, dx and dw."""

    stride: int
    padding: Padding
    size: tuple[int, ...]
    """The spatial sizes of x."""
    kernel: tuple[int, ...]
    """The spatial sizes of w."""


def conv(
    x: Float[Array, "batch *spatial channels"],
    w: Float[Array, "*size channels out_channels"],
    stride: int,
    padding: Padding,
) -> Float[Array, "batch *out_spatial out_channels"]:
    """y of x and w."""
    return _y(x, w, geometry=Geometry(stride, padding, x.shape[1:-1], w.shape[:-2]))


# XLA's implementation.


def _direct(x: Array, w: Array, geometry: Geometry) -> Array:
    return _convolution(x, w, geometry.stride, geometry.padding)


def _direct_dx(dy: Array, w: Array, geometry: Geometry) -> Array:
    x = jax.ShapeDtypeStruct((dy.shape[0], *geometry.size, w.shape[-2]), dy.dtype)
    return jax.linear_transpose(lambda x: _direct(x, w, geometry), x)(dy)[0]


def _direct_dw(x: Array, dy: Array, geometry: Geometry) -> Array:
    w = jax.ShapeDtypeStruct((*geometry.kernel, x.shape[-1], dy.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda w: _direct(x, w, geometry), w)(dy)[0]


# The implementation for CPUs. A barrier around the permuted operands prevents XLA from undoing the permutation.


def _cpu(x: Array, w: Array, geometry: Geometry) -> Array:
    if winograd.is_faster(x, w.shape, geometry.stride, geometry.padding):
        return winograd.conv(x, w)
    return _direct(x, w, geometry)


def _cpu_dx(dy: Array, w: Array, geometry: Geometry) -> Array:
    stride, padding, sizes, kernel = geometry
    if winograd.is_faster(dy, w.shape, stride, padding):
        return winograd.input_gradient(dy, w)
    turned = jnp.flip(w, tuple(range(len(kernel)))).swapaxes(-1, -2)
    around = []
    for n, k, m, (lo, _) in zip(sizes, kernel, dy.shape[1:-1], padding, strict=True):
        first = k - 1 - lo
        around.append((first, n - 1 - (m - 1) * stride - first + k - 1))
    return _convolution(dy, lax.optimization_barrier(turned), 1, tuple(around), spread=stride)


def _cpu_dw(x: Array, dy: Array, geometry: Geometry) -> Array:
    stride, padding, sizes, kernel = geometry
    if winograd.is_faster_for_dw(x, (*kernel, x.shape[-1], dy.shape[-1]), stride, padding):
        return winograd.kernel_gradient(x, dy)
    around = tuple(
        (lo, k - 1 + (m - 1) * stride - (n - 1) - lo)
        for n, k, m, (lo, _) in zip(sizes, kernel, dy.shape[1:-1], padding, strict=True)
    )
    channels_first = lax.optimization_barrier(jnp.swapaxes(x, 0, -1))  # (channels, *spatial, batch)
    as_kernel = lax.optimization_barrier(jnp.moveaxis(dy, 0, -2))  # (*out_spatial, batch, out_channels)
    return jnp.moveaxis(_convolution(channels_first, as_kernel, 1, around, dilation=stride), 0, -2)


def _convolution(x: Array, w: Array, stride: int, padding: Padding, spread: int = 1, dilation: int = 1) -> Array:
    """Insert ``spread`` − 1 zeros between the entries of x, ``dilation`` − 1 between those of w."""
    dims = x.ndim - 2
    letters = "DHW"[-dims:]
    return lax.conv_general_dilated(
        x,
        w,
        window_strides=(stride,) * dims,
        padding=padding,
        lhs_dilation=(spread,) * dims,
        rhs_dilation=(dilation,) * dims,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )


_y, _dx, _dw = trilinear(
    "conv",
    Form(_cpu, _direct, ((0, 0), (-1, -1))),
    Form(_cpu_dx, _direct_dx, ((0, 0), (-2, -1))),
    Form(_cpu_dw, _direct_dw, ((-1, -2), (-1, -1))),
)
