"""Halving and doubling the resolution, with or without an anti-aliasing filter.

    filter h = (1, 3, 3, 1)/8 along each axis:

    down   y_i = Σ_j h_j x_{2i+j−1}             x x x x x x        one output for every two inputs
                                                └─y_0─┘ └─y_2─┘
    up     x_0 0 x_1 0 x_2 0, then filter 2h    y_{2i} = (x_{i−1} + 3x_i)/4,  y_{2i+1} = (3x_i + x_{i+1})/4

Values beyond the border are zero. Without a filter: the mean of two neighbours, and each value twice.
(Karras et al. 2019, "A Style-Based Generator Architecture"; Zhang 2019, "Making Convolutional Networks
Shift-Invariant Again".)
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from score_sde.networks.conv import Conv

Fir: TypeAlias = tuple[int | float, ...] | None  # the filter's taps along one axis, of any sum; None: no filter

Image: TypeAlias = Float[Array, "batch *spatial channels"]


def down(x: Image, fir: Fir = None) -> Float[Array, "batch *half channels"]:
    """Halve the resolution along each spatial axis."""
    for axis in range(1, x.ndim - 1):
        if fir is None:
            x = _filter(x, np.full(2, 0.5), axis, (0, 0), stride=2)
        else:
            excess = len(fir) - 2
            x = _filter(x, _taps(fir), axis, ((excess + 1) // 2, excess // 2), stride=2)
    return x


def up(x: Image, fir: Fir = None, *, margin: int = 0) -> Float[Array, "batch *double channels"]:
    """Double the resolution along each spatial axis; a filter adds ``margin`` (0 or 1) values beyond each border."""
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, 2, axis) if fir is None else _up_axis(x, _taps(fir), axis, margin)
    return x


def blur(x: Image, fir: Sequence[int | float]) -> Float[Array, "batch *blurred channels"]:
    """Apply the filter at full resolution, with the border that a subsequent 3x3 convolution of stride 2 needs."""
    for axis in range(1, x.ndim - 1):
        x = _filter(x, _taps(fir), axis, ((len(fir) + 1) // 2, len(fir) // 2))
    return x


def _taps(fir: Sequence[int | float]) -> np.ndarray:
    """Taps normalised to sum 1 and reversed: the filter is a convolution, the sums below are correlations."""
    return np.asarray(fir[::-1], np.float64) / np.sum(fir)


def _filter(x: Array, taps: np.ndarray, axis: int, padding: tuple[int, int], stride: int = 1) -> Array:
    """y_i = Σ_j taps_j x_{i·stride + j − lo} along one axis: a weighted sum of shifted slices."""
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (*padding, 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), widths)
    last = x.shape[axis] - len(taps)
    slices = (lax.slice_in_dim(x, j, j + last + 1, stride, axis) for j in range(len(taps)))
    return functools.reduce(jnp.add, (jnp.asarray(t, x.dtype) * s for t, s in zip(taps, slices, strict=True)))


def _up_axis(x: Array, taps: np.ndarray, axis: int, margin: int) -> Array:
    """Insert zeros between the x_i, then apply 2·taps. Every other product is zero, so

    even and odd outputs are two shorter filters at the resolution of x, interleaved.
    """
    lead = (len(taps) - 1) // 2 + 1 + margin  # output n depends on the zero-filled input at n − lead, n − lead + 1, ...
    phases = []
    for phase in (0, 1):
        first = (lead - phase) % 2
        part = 2 * taps[first::2]
        lo = (lead - phase - first) // 2
        phases.append(_filter(x, part, axis, (lo, len(part) - 1 - lo + margin)))
    return jnp.stack(phases, axis + 1).reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])


class Downsample(nnx.Module):
    """Halve the resolution: [filter and] 3x3 convolution of stride 2, or ``down`` alone without a convolution.

    It is interchangeable with a residual block, so it accepts the embedding and the dropout seeds and ignores them.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, fir: Fir, with_conv: bool = True, rngs: nnx.Rngs, **options: Any
    ):
        self.conv = Conv(in_channels, out_channels, stride=2, rngs=rngs, **options) if with_conv else None
        self.fir = fir

    def __call__(self, x: Image, embedding=None, seeds=None) -> Float[Array, "batch *half out_channels"]:
        if self.conv is None:
            return down(x, self.fir)
        return self.conv(x) if self.fir is None else self.conv(blur(x, self.fir), padded=True)


class Upsample(nnx.Module):
    """Double the resolution, then apply a 3x3 convolution; with a filter, it includes a margin of filtered values."""

    def __init__(
        self, in_channels: int, out_channels: int, *, fir: Fir, with_conv: bool = True, rngs: nnx.Rngs, **options: Any
    ):
        self.conv = Conv(in_channels, out_channels, rngs=rngs, **options) if with_conv else None
        self.fir = fir

    def __call__(self, x: Image, embedding=None, seeds=None) -> Float[Array, "batch *double out_channels"]:
        if self.conv is None:
            return up(x, self.fir)
        return self.conv(up(x)) if self.fir is None else self.conv(up(x, self.fir, margin=1), padded=True)
