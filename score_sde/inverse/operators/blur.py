"""Blur by any two-dimensional kernel, as a convolution computed by FFT.

    y_i = Σ_j k_j x_{i + c − j},   c the kernel's middle (size//2 along each axis)

With a circular border the convolution is diagonal in the Fourier basis. For real x that reads

    A = P |A|,   |A| = H diag|k̂| H,   P = F* diag(k̂/|k̂|) F

with the Hartley transform H = Re F − Im F, which is real, symmetric and orthogonal: V = H and U = P H.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from score_sde.checks import as_floating, require
from score_sde.inverse.operators.base import IMAGE, STATIC, Operator, as_shape, assign
from score_sde.inverse.operators.filters import BORDERS, Border, check_border, check_size
from score_sde.inverse.operators.spectral import SVD

Image = Float[Array, "height width channels"]


@dataclasses.dataclass(frozen=True, init=False)
class Blur(Operator):
    """The convolution of each channel with ``kernel`` (rows, columns), which is used as it is: a blur sums to 1.

    ``gaussian_blur`` is separable, and so has a decomposition with every border; this one only with "circular".
    """

    kernel: Float[Array, "rows columns"]
    border: Border = dataclasses.field(metadata=STATIC)

    def __init__(self, kernel: Any, shape: tuple[int, ...], border: Border = "reflect"):
        shape = as_shape(shape, IMAGE)
        require(np.ndim(kernel) == 2, f"kernel has shape {np.shape(kernel)}; allowed: (rows, columns)")
        check_border(border)
        for size, n in zip(np.shape(kernel), shape, strict=False):
            check_size(size, n, "a kernel")
        assign(self, shape=shape, kernel=as_floating(kernel), border=border)

    def apply(self, x: Image) -> Image:
        if self.border == "circular":
            return self._convolved(x)
        widths = [(n - 1 - n // 2, n // 2) for n in self.kernel.shape]
        padded = jnp.pad(x, (*widths, (0, 0)), mode=BORDERS[self.border])
        (top, _), (left, _) = widths
        return self._convolved(padded)[top : top + x.shape[0], left : left + x.shape[1]]

    def _convolved(self, x: Image) -> Image:
        """The circular convolution, at any size of x."""
        size = x.shape[:2]
        product = jnp.fft.rfft2(x, axes=(0, 1)) * jnp.fft.rfft2(self._kernel_at_origin(size, x.dtype))[..., None]
        return jnp.fft.irfft2(product, s=size, axes=(0, 1))

    def _kernel_at_origin(self, size: tuple[int, ...], dtype: Any) -> Float[Array, "height width"]:
        """The kernel in an image of zeros, its middle at the first pixel."""
        rows, columns = self.kernel.shape
        whole = jnp.zeros(size, dtype).at[:rows, :columns].set(self.kernel.astype(dtype))
        return jnp.roll(whole, (-(rows // 2), -(columns // 2)), (0, 1))

    @property
    def structured(self) -> bool:
        return self.border == "circular"

    def svd(self) -> SVD:
        if not self.structured:
            return super().svd()
        transfer = jnp.fft.fft2(self._kernel_at_origin(self.shape[:2], self.kernel.dtype))[..., None]
        gain = jnp.abs(transfer)
        # Where nothing passes, rounding would give k and −k different phases, and P would not be real.
        seen = gain > 10 * jnp.finfo(gain.dtype).eps * jnp.max(gain)
        phase = jnp.where(seen, transfer / jnp.where(seen, gain, 1.0), 1.0)

        def without_phase(y: Image) -> Image:
            spectrum = jnp.fft.fft2(y, axes=(0, 1))
            return jnp.fft.ifft2(spectrum * jnp.conj(phase).astype(spectrum.dtype), axes=(0, 1)).real

        s = jnp.broadcast_to(gain, self.shape)
        return SVD(s, jax.vmap(_hartley), jax.vmap(lambda y: _hartley(without_phase(y))), self.shape, self.shape)


def motion_blur(shape: tuple[int, ...], size: int, intensity: float, *, seed: int, border: Border = "reflect") -> Blur:
    """Blur by ``motion_kernel``, a camera that shook during the exposure."""
    return Blur(motion_kernel(size, intensity, seed=seed), shape, border)


def motion_kernel(size: int, intensity: float, *, seed: int) -> Float[np.ndarray, "size size"]:
    """The path of a point at constant speed, of total length 0.9 size, in 32 steps for each pixel of it.

    Its direction begins anywhere and does a random walk that reaches the standard deviation π·``intensity`` at the end:
    0 is a straight line, 1 a tangle. The path is centred at its mean, each point spread over its four pixels by bilinear
    weights (points outside are moved to the edge), and the sum is 1. This is not the kernel of the "motionblur" package.
    """
    require(size > 0 and size % 2 == 1, f"size = {size}; allowed: an odd number of pixels, so that there is a middle")
    require(0 <= intensity <= 1, f"intensity = {intensity}; allowed: from 0 (a straight line) to 1")
    rng = np.random.default_rng(seed)
    steps = math.ceil(0.9 * size * 32)
    turns = rng.normal(scale=math.pi * intensity / math.sqrt(steps), size=steps)
    direction = rng.uniform(0, 2 * math.pi) + np.cumsum(turns)
    path = np.cumsum(np.stack([np.sin(direction), np.cos(direction)], 1), 0) * 0.9 * size / steps
    path = np.clip(path - path.mean(0) + size // 2, 0, size - 1)
    corner = np.minimum(path.astype(int), max(size - 2, 0))
    kernel = np.zeros((size, size))
    for offset in np.ndindex(*(min(size, 2),) * 2):
        place = corner + offset
        np.add.at(kernel, tuple(place.T), np.prod(np.maximum(1 - np.abs(path - place), 0), 1))
    return kernel / kernel.sum()


def _hartley(x: Image) -> Image:
    spectrum = jnp.fft.fft2(x, axes=(0, 1), norm="ortho")
    return spectrum.real - spectrum.imag
