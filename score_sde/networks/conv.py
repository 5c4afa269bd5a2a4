"""Convolution with gradients that XLA's CPU backend is fast in.

XLA turns the gradient of a convolution into another one with permuted axes, which its CPU backend computes with a
naive loop nest when it stands inside ``lax.scan`` or ``lax.while_loop`` (100 times slower, measured in
``experiments/benchmarks/networks.md``). Here both gradients are written as plain channels-last convolutions, and
their permuted operands are made behind an optimisation barrier, so that XLA cannot fold the permutation back in.
Large convolutions of size 3 take Winograd's way, with fewer multiplications. GPUs and TPUs keep XLA's convolutions.

A function with its own VJP has no JVP: differentiate networks with ``jax.vjp`` and ``jax.grad``, to any order.
"""

import functools
import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Key

from score_sde.networks import winograd

Padding: TypeAlias = tuple[tuple[int, int], ...]


def variance_scaling(scale: float = 1.0):
    """Uniform with variance ``scale`` / mean(fan in, fan out); scale 0 stands for 1e-10, a layer that begins silent.

    The numbers are those of Flax's initialiser. XLA compiles a generator for each size; here one serves all layers up to
    the next power of two, as number i of a draw depends on (key, i) alone. It makes building a U-Net three times faster.
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
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (size,) * spatial_dims + (in_channels, out_channels)
        self.kernel = nnx.Param(variance_scaling(init_scale)(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_channels))
        self.stride = stride
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "batch *spatial channels"], *, padded: bool = False
    ) -> Float[Array, "batch *out_spatial out_channels"]:
        """``padded``: x already has the border that the convolution looks at."""
        kernel, bias = (p[...].astype(self.dtype) for p in (self.kernel, self.bias))
        sizes = kernel.shape[:-2]
        if max(sizes) == self.stride == 1:
            return x @ kernel.reshape(kernel.shape[-2:]) + bias
        missing = [0 if padded else max(k - self.stride, 0) for k in sizes]
        return conv(x, kernel, self.stride, tuple((p // 2, p - p // 2) for p in missing)) + bias


def conv(
    x: Float[Array, "batch *spatial channels"],
    kernel: Float[Array, "*size channels out_channels"],
    stride: int,
    padding: Padding,
) -> Float[Array, "batch *out_spatial out_channels"]:
    """y[o] = Σ_k x[o·stride + k − lo] kernel[k]  along each spatial axis, for padding (lo, hi)."""
    if stride == 1 and all(p == (1, 1) for p in padding) and winograd.is_faster(x, kernel):
        return _same(x, kernel)
    return _conv(x, kernel, stride, padding, 1, 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _conv(x: Array, kernel: Array, stride: int, padding: Padding, spread: int, dilation: int) -> Array:
    """y[o] = Σ_k x̃[o·stride + k·dilation − lo] kernel[k], where x̃ is x with spread − 1 zeros between its entries."""
    return _plain_conv(x, kernel, stride, padding, spread, dilation)


def _plain_conv(x: Array, kernel: Array, stride: int, padding: Padding, spread: int, dilation: int) -> Array:
    dims = x.ndim - 2
    letters = "DHW"[-dims:]
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride,) * dims,
        padding=padding,
        lhs_dilation=(spread,) * dims,
        rhs_dilation=(dilation,) * dims,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )


def _forward(x, kernel, stride, padding, spread, dilation):
    return _plain_conv(x, kernel, stride, padding, spread, dilation), (x, kernel)


def _backward(stride, padding, spread, dilation, operands, dy):
    """Of y[o] = Σ_k x̃[p] w[k], with p = o·stride + k·dilation − lo:

    dx[i] = Σ_k dy[o] w[k]  over all (o, k) with p = i·spread: a convolution of dy with w turned round;
    dw[k] = Σ_o x̃[p] dy[o]: a convolution of x with dy for its kernel, batch and channels having changed places.
    """

    def as_convolutions(x, w, dy):
        dims = range(x.ndim - 2)
        n, k, m = x.shape[1:-1], w.shape[:-2], dy.shape[1:-1]
        lo = [p[0] for p in padding]
        w_turned = jnp.flip(w, tuple(dims)).swapaxes(-1, -2)
        lo_x = [(k[i] - 1) * dilation - lo[i] for i in dims]
        hi_x = [(n[i] - 1) * spread - (m[i] - 1) * stride - lo_x[i] + (k[i] - 1) * dilation for i in dims]
        dx = _conv(
            dy, lax.optimization_barrier(w_turned), spread, tuple(zip(lo_x, hi_x, strict=True)), stride, dilation
        )
        hi_w = [(k[i] - 1) * dilation + (m[i] - 1) * stride - (n[i] - 1) * spread - lo[i] for i in dims]
        channels_first = lax.optimization_barrier(jnp.swapaxes(x, 0, -1))  # (channels, *spatial, batch)
        dy_as_kernel = lax.optimization_barrier(jnp.moveaxis(dy, 0, -2))  # (*out_spatial, batch, out_channels)
        dw = _conv(
            channels_first, dy_as_kernel, dilation, tuple(zip(lo, hi_w, strict=True)), spread, stride
        )  # (channels, *size, out_channels)
        return dx, jnp.moveaxis(dw, 0, -2)

    def by_xla(x, w, dy):
        return jax.vjp(lambda x, w: _plain_conv(x, w, stride, padding, spread, dilation), x, w)[1](dy)

    return lax.platform_dependent(*operands, dy, cpu=as_convolutions, default=by_xla)


_conv.defvjp(_forward, _backward)


# Where Winograd's way is faster: T = Σ_o Σ_k x[o + k − 1] w[k] dy[o], sums of the same size as x, is linear in each of x,
# w and dy. Its gradient with respect to one of them is a function of the other two, and the gradients of that are the
# other two functions. GPUs and TPUs get the convolutions that JAX makes of them.


@jax.custom_vjp
def _same(x: Array, w: Array) -> Array:
    """∂T/∂dy, which is y."""
    return lax.platform_dependent(x, w, cpu=winograd.conv, default=_direct)


@jax.custom_vjp
def _same_dx(dy: Array, w: Array) -> Array:
    """∂T/∂x, which is dx."""
    return lax.platform_dependent(dy, w, cpu=winograd.input_gradient, default=_direct_dx)


@jax.custom_vjp
def _same_dw(x: Array, dy: Array) -> Array:
    """∂T/∂w, which is dw."""
    return lax.platform_dependent(x, dy, cpu=winograd.kernel_gradient, default=_direct_dw)


def _direct(x: Array, w: Array) -> Array:
    return _plain_conv(x, w, 1, ((1, 1),) * (x.ndim - 2), 1, 1)


def _direct_dx(dy: Array, w: Array) -> Array:
    x = jax.ShapeDtypeStruct((*dy.shape[:-1], w.shape[-2]), dy.dtype)
    return jax.linear_transpose(lambda x: _direct(x, w), x)(dy)[0]


def _direct_dw(x: Array, dy: Array) -> Array:
    w = jax.ShapeDtypeStruct((*(3,) * (x.ndim - 2), x.shape[-1], dy.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda w: _direct(x, w), w)(dy)[0]


_same.defvjp(lambda x, w: (_same(x, w), (x, w)), lambda xw, dy: (_same_dx(dy, xw[1]), _same_dw(xw[0], dy)))
_same_dx.defvjp(lambda dy, w: (_same_dx(dy, w), (dy, w)), lambda yw, x: (_same(x, yw[1]), _same_dw(x, yw[0])))
_same_dw.defvjp(lambda x, dy: (_same_dw(x, dy), (x, dy)), lambda xy, w: (_same_dx(xy[1], w), _same(xy[0], w)))
