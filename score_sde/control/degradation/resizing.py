"""Resizing between sizes that are drawn at random, so that compiled programs do not know them.

A picture lies in the upper left corner of a canvas of fixed size. Along each axis y = W x with W of the size of the canvas.
Row i of W has the weights of output pixel i, whose centre is at u = (i + 1/2) n/m − 1/2 when n pixels become m:

    area        the mean of the pixels that [i n/m, (i + 1) n/m] touches
    bilinear    1 − |u − j| at the two nearest pixels j
    bicubic     Keys' kernel with a = −3/4 at the four nearest

without smoothing before, as PyTorch's ``interpolate``. Beyond the border is the last pixel.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

MODES = ("area", "bilinear", "bicubic")


def resized(x: Float[Array, "n m c"], sizes: Array, wanted: Array, mode: Array) -> Float[Array, "n m c"]:
    """The picture in the upper left ``sizes`` of x, (2,), in the ``wanted`` sizes; outside of them there are zeros."""
    rows, columns = (_weights(x.shape[axis], sizes[axis], wanted[axis])[mode] for axis in (0, 1))
    return jnp.einsum("ia,jb,abc->ijc", rows, columns, x, precision="highest")


def _weights(canvas: int, n: Array, m: Array) -> Float[Array, "3 canvas canvas"]:
    i, j = jnp.arange(canvas)[:, None], jnp.arange(canvas)[None, :]
    ratio = n / m
    touched = ((i * n) // m <= j) & (j < ((i + 1) * n + m - 1) // m)
    area = touched / jnp.maximum(touched.sum(axis=1, keepdims=True), 1)
    u = (i + 0.5) * ratio - 0.5
    bilinear = _taps(jnp.maximum(u, 0), j, n, _linear, (0, 1))
    bicubic = _taps(u, j, n, _cubic, (-1, 0, 1, 2))
    return jnp.stack([area, bilinear, bicubic]) * (i < m)


def _taps(u: Array, j: Array, n: Array, kernel, offsets: tuple[int, ...]) -> Float[Array, "i j"]:
    first = jnp.floor(u)
    at = [jnp.clip(first + offset, 0, n - 1) for offset in offsets]
    return sum(kernel(u - first - offset) * (place == j) for offset, place in zip(offsets, at, strict=True))


def _linear(d: Array) -> Array:
    return 1 - jnp.abs(d)


def _cubic(d: Array, a: float = -0.75) -> Array:
    d = jnp.abs(d)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return jnp.where(d <= 1, near, jnp.where(d < 2, far, 0))
