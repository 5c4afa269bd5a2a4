"""Convolutions of size 3 with fewer multiplications: Winograd's F(2, 3) along every spatial axis.

Two adjacent entries of y[o] = Σ_k x[o + k − 1] w[k] depend on four entries of x and cost four products instead of six:

    y = Aᵀ (G w ⊙ Bᵀ x),    Bᵀ x = (x_0 − x_2,  x_1 + x_2,  x_2 − x_1,  x_1 − x_3)
                            G w  = (w_0,  (w_0 + w_1 + w_2)/2,  (w_0 − w_1 + w_2)/2,  w_2)
                            Aᵀ m = (m_0 + m_1 + m_2,  m_1 − m_2 − m_3)

For both axes of an image that is 16 instead of 36, and over channels each ⊙ is a matrix product. Rounding errors are
those of the direct sum. ``apart`` prevents XLA from recomputing x for each of its sixteen uses.

Lavin and Gray 2016, Fast algorithms for convolutional neural networks (arXiv 1509.09308).
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from score_sde.networks.cpu.written import apart

G = np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]])
CHANNELS, TILES = 64, 32  # the break-even sizes, measured in experiments/benchmarks/networks.md
LARGE, CHANNELS_OF_LARGE = (
    150_000,
    24,
)  # for dw of at least so many entries, which XLA computes at a fifth of the speed of y
PIECE = 700_000  # entries of x or dy whose transforms stay in a core's cache


def is_faster(
    a: Array, kernel: tuple[int, ...], stride: int, padding: tuple[tuple[int, int], ...], least: int | None = None
) -> bool:
    """Whether a convolution has this form and is large enough to be faster on a CPU.

    a: its x or its dy. least: the number of channels from which on it is faster.
    """
    *size, channels, out = kernel
    even = all(n % 2 == 0 for n in a.shape[1:-1])
    fits = stride == 1 and all(around == (1, 1) for around in padding) and len(size) > 1 and set(size) == {3}
    enough = min(channels, out) >= (CHANNELS if least is None else least)
    large = enough and a.size // a.shape[-1] >= TILES * 2 ** len(size)
    return fits and even and large and a.dtype in (jnp.float32, jnp.float64)


def is_faster_for_dw(x: Array, kernel: tuple[int, ...], stride: int, padding: tuple[tuple[int, int], ...]) -> bool:
    """The same for the gradient of the kernel."""
    return is_faster(x, kernel, stride, padding, CHANNELS_OF_LARGE if x.size >= LARGE else None)


@apart
def conv(
    x: Float[Array, "batch *spatial channels"], w: Float[Array, "*size channels out"]
) -> Float[Array, "batch *spatial out"]:
    """y[o] = Σ_k x[o + k − 1] w[k] along each spatial axis, which has an even number of entries."""
    return _products(x, _weights(G, w), 1)


@apart
def input_gradient(
    dy: Float[Array, "batch *spatial out"], w: Float[Array, "*size channels out"]
) -> Float[Array, "batch *spatial channels"]:
    """dx[i] = Σ_k dy[i − k + 1] w[k]ᵀ: the convolution of dy with w reversed."""
    return _products(dy, _weights(G[:, ::-1], w), 2)


@apart
def kernel_gradient(
    x: Float[Array, "batch *spatial channels"], dy: Float[Array, "batch *spatial out"]
) -> Float[Array, "*size channels out"]:
    """dw[k] = Σ_o x[o + k − 1] dy[o] = Gᵀ (Bᵀ x ⊙ A dy), where ⊙ sums over the batch and all pairs.

    A large batch is summed in pieces that fit the cache.
    """
    dims = x.ndim - 2

    def added(du: Array, piece: tuple[Array, ...]) -> tuple[Array, None]:
        v, z = (p.reshape(4**dims, -1, p.shape[-1]) for p in (_seen(piece[0]), _spread(piece[1])))
        return du + lax.dot_general(v, z, (((1,), (1,)), ((0,), (0,)))), None

    du = jnp.zeros((4**dims, x.shape[-1], dy.shape[-1]), x.dtype)
    du, _ = lax.scan(added, du, (_pieces(x, dy.size), _pieces(dy, x.size)))
    dw = jnp.tensordot(_along(G, dims, du.dtype).T, du, 1)
    return dw.reshape(*(3,) * dims, *dw.shape[1:])


def _products(x: Array, u: Float[Array, "fours rows columns"], contracted: int) -> Array:
    """Aᵀ (u ⊙ Bᵀ x), where ⊙ sums over the channels of x and this axis of u."""
    pieces = _pieces(x)
    if len(pieces) > 1:
        return lax.map(lambda piece: _products_of_piece(piece, u, contracted), pieces).reshape(*x.shape[:-1], -1)
    return _products_of_piece(x, u, contracted)


def _products_of_piece(x: Array, u: Array, contracted: int) -> Array:
    dims = x.ndim - 2
    v = _seen(x)
    m = lax.dot_general(v.reshape(4**dims, -1, v.shape[-1]), u, (((2,), (contracted,)), ((0,), (0,))))
    m = m.reshape(*v.shape[:-1], -1)
    for axis in range(dims):  # m has a leading axis of size 4 for each remaining spatial axis
        m = jnp.stack([m[0] + m[1] + m[2], m[1] - m[2] - m[3]], dims + 1 + axis)
    return m.reshape(*x.shape[:-1], -1)


def _pieces(x: Float[Array, "batch *rest"], size: int = 0) -> Float[Array, "pieces part *rest"]:
    """A batch in equal parts of at most ``PIECE`` entries, or of one example; size: of the array beside it."""
    n, least = x.shape[0], max(x.size, size) / PIECE
    k = next(k for k in range(1, n + 1) if n % k == 0 and (k >= least or k == n))
    return x.reshape(k, n // k, *x.shape[1:])


def _weights(g: np.ndarray, w: Float[Array, "*size channels out"]) -> Float[Array, "fours channels out"]:
    """G w along every spatial axis."""
    return jnp.tensordot(_along(g, w.ndim - 2, w.dtype), w.reshape(-1, *w.shape[-2:]), 1)


def _seen(x: Float[Array, "batch *spatial channels"]) -> Float[Array, "*fours_batch_pairs channels"]:
    """Bᵀ x: along every spatial axis x[2p + (0, 1, 2, 1)] ± x[2p + (2, 2, 1, 3)] for pair p of the padded x.

    With indexing, XLA makes one loop over all axes; stacked slices would make one each and take longer to compile.
    """
    dims = x.ndim - 2
    x = jnp.pad(x, [(0, 0), *[(1, 1)] * dims, (0, 0)])
    for axis in range(-2, -2 - dims, -1):
        pairs = 2 * np.arange(x.shape[axis] // 2 - 1)
        first, second = (
            jnp.moveaxis(jnp.take(x, pairs + np.array(i)[:, None], axis, mode="clip"), axis - 1, 0)
            for i in ([0, 1, 2, 1], [2, 2, 1, 3])
        )
        x = first + _column([-1, 1, -1, -1], x) * second
    return x


def _spread(dy: Float[Array, "batch *spatial out"]) -> Float[Array, "*fours_batch_pairs out"]:
    """A dy: along every spatial axis (a, a + b, a − b, −b) of each pair (a, b)."""
    for axis in range(-2, -dy.ndim, -1):
        a, b = (lax.slice_in_dim(dy, i, None, 2, axis) for i in (0, 1))
        dy = _column([1, 1, 1, 0], dy) * a + _column([0, 1, -1, -1], dy) * b
    return dy


def _column(entries: list[int], x: Array) -> Float[Array, "fours *ones"]:
    """The entries along a new first axis of x."""
    return jnp.asarray(entries, x.dtype).reshape(-1, *(1,) * x.ndim)


def _along(matrix: np.ndarray, dims: int, dtype) -> Float[Array, "rows columns"]:
    """The matrix along each of ``dims`` axes: its Kronecker product with itself."""
    return jnp.asarray(functools.reduce(np.kron, [matrix] * dims), dtype)
