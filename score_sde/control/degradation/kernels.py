"""The blur kernels of blind super-resolution (Real-ESRGAN, Wang et al. 2021, section 3), on a grid of ``SIZE`` x ``SIZE``.

With q = rᵀ Σ⁻¹ r and Σ of two standard deviations and an angle:

    Gaussian        exp(−q/2)
    generalised     exp(−q^β/2)
    plateau         1/(1 + q^β)
    sinc            ω J_1(ω |r|)/(2π |r|), the ideal low-pass filter, which rings

A kernel of a smaller odd size is zero beyond it. All have the sum 1.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SIZE = 21
SIZES = tuple(range(7, SIZE + 1, 2))
KINDS = (
    "isotropic",
    "anisotropic",
    "generalised, isotropic",
    "generalised, anisotropic",
    "plateau, isotropic",
    "plateau, anisotropic",
)

_OFFSET = np.arange(SIZE) - SIZE // 2
_ROW, _COLUMN = np.meshgrid(_OFFSET, _OFFSET, indexing="ij")


def bell(kind: Array, stds: Float[Array, "2"], angle: Array, power: Array, size: Array) -> Float[Array, "k k"]:
    """A kernel of the kind with this number; isotropic ones take the first standard deviation alone."""
    isotropic = kind % 2 == 0
    second = jnp.where(isotropic, stds[0], stds[1])
    along = _COLUMN * jnp.cos(angle) + _ROW * jnp.sin(angle)
    across = _ROW * jnp.cos(angle) - _COLUMN * jnp.sin(angle)
    q = (along / stds[0]) ** 2 + (across / second) ** 2
    bent = jnp.where(q > 0, q, 1) ** power * (q > 0)
    shapes = jnp.stack([jnp.exp(-q / 2), jnp.exp(-bent / 2), 1 / (1 + bent)])
    return _cut(shapes[kind // 2], size)


def sinc(cutoff: Array, size: Array) -> Float[Array, "k k"]:
    """``cutoff``: ω, from 0 to π."""
    r = np.hypot(_ROW, _COLUMN)
    middle = cutoff**2 / (4 * np.pi)
    return _cut(jnp.where(r > 0, cutoff * bessel_j1(cutoff * r) / (2 * np.pi * np.where(r > 0, r, 1)), middle), size)


def bessel_j1(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """J_1(z) = (1/π) ∫ cos(τ − z sin τ) dτ over a half turn, by the trapezoidal rule, which is exact to rounding for
    |z| < 50.
    """
    tau = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    return jnp.mean(jnp.cos(tau - z[..., None] * np.sin(tau)), axis=-1)


def _cut(kernel: Float[Array, "k k"], size: Array) -> Float[Array, "k k"]:
    inside = (jnp.abs(_ROW) <= size // 2) & (jnp.abs(_COLUMN) <= size // 2)
    kernel = jnp.where(inside, kernel, 0)
    return kernel / kernel.sum()


def filtered(x: Float[Array, "n m c"], sizes: Array, kernel: Float[Array, "k k"]) -> Float[Array, "n m c"]:
    """The picture in the upper left ``sizes`` of x, correlated with the kernel; it is continued by reflection."""
    half = SIZE // 2
    for axis in (0, 1):
        x = jnp.take(x, _reflected(jnp.arange(-half, x.shape[axis] + half), sizes[axis]), axis=axis)
    n, m, _ = x.shape
    transform = jnp.asarray(_fourier(n)), jnp.asarray(_fourier(m))
    of_x = jnp.einsum("ua,vb,abc->uvc", *transform, x, precision="highest")
    of_kernel = jnp.einsum("ua,vb,ab->uv", transform[0][:, :SIZE], transform[1][:, :SIZE], kernel, precision="highest")
    back = [each[:, : each.shape[0] - 2 * half].conj() / each.shape[0] for each in transform]
    return jnp.einsum("ua,vb,uvc->abc", *back, of_x * of_kernel.conj()[..., None], precision="highest").real


def _fourier(n: int) -> np.ndarray:
    """exp(−2πi u a/n), complex64: as a matrix, because XLA does not divide its FFT of a batch among devices."""
    return np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n).astype(np.complex64)


def _reflected(i: Array, n: Array) -> Array:
    """The place in 0 ... n − 1 that i is reflected to, without repetition of the ends: c b | a b c | b a."""
    period = jnp.maximum(2 * (n - 1), 1)
    i = i % period
    return jnp.where(i < n, i, period - i) % n
