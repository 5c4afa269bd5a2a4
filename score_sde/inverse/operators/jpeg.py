"""Compression as in JPEG: the cosine transform of blocks of 8 x 8 pixels, rounded to multiples of a table.

    y = decode(round(DCT(x)/q)),   q = max(1, ⌊(S q₅₀ + 50)/100⌋),   S = 5000/quality below 50, 200 − 2 quality above

(ITU-T T.81, annex K; the scaling of libjpeg.) Entropy coding loses nothing and is left out.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax.lax import Precision
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.inverse.operators.base import IMAGE, STATIC, Operator, as_shape, assign

LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
CHROMINANCE = np.full((8, 8), 99)
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
TO_RGB = np.linalg.inv(TO_YCBCR)

DCT = scipy.fft.dct(np.eye(8), axis=0, norm="ortho")


@dataclasses.dataclass(frozen=True)
class JPEG(Operator):
    """An image in [−1, 1], grey or in colour, compressed with a ``quality`` from 1 to 100 and decoded again.

    Colours are coded as Y Cb Cr at full resolution (4:4:4: no chroma subsampling); the decoded image is neither clipped
    to [−1, 1] nor rounded to 256 levels. The derivative is that without rounding ("straight through"), the identity:
    the true one is zero almost everywhere.
    """

    quality: int = dataclasses.field(metadata=STATIC)

    linear = False

    def __post_init__(self):
        height, width, channels = as_shape(self.shape, IMAGE)
        assign(self, shape=(height, width, channels))
        require(1 <= self.quality <= 100, f"quality = {self.quality}; allowed: 1 to 100")
        require(
            height % 8 == 0 and width % 8 == 0,
            f"shape = {self.shape}; JPEG works in blocks of 8 x 8: crop the image",
        )
        require(channels in (1, 3), f"shape = {self.shape}; allowed: 1 channel (grey) or 3 (red, green, blue)")

    @property
    def tables(self) -> Float[Array, "8 8 channels"]:
        """The steps of quantisation, for each channel."""
        return scaled(np.stack([LUMINANCE, CHROMINANCE, CHROMINANCE][: self.shape[-1]], -1), self.quality)

    def apply(self, x: Float[Array, "height width channels"]) -> Float[Array, "height width channels"]:
        levels = (x + 1) * 127.5 - 128
        if self.shape[-1] == 3:
            levels = matrix_times(TO_YCBCR, levels)
        decoded = quantised(levels, self.tables)
        if self.shape[-1] == 3:
            decoded = matrix_times(TO_RGB, decoded)
        return (decoded + 128) / 127.5 - 1


def scaled(table: np.ndarray, quality: Any) -> Float[Array, "8 8 *channels"]:
    """The table for a quality, which need not be known when programs are compiled."""
    scale = jnp.where(quality < 50, jnp.floor(5000 / quality), 200 - 2 * quality)
    return jnp.clip(jnp.floor((table * scale + 50) / 100), 1, 255)


def quantised(
    levels: Float[Array, "height width channels"], steps: Float[Array, "8 8 channels"]
) -> Float[Array, "height width channels"]:
    """Blocks of 8 x 8 with their cosine transform rounded to multiples of the steps."""
    height, width, channels = levels.shape
    blocks = levels.reshape(height // 8, 8, width // 8, 8, channels)
    steps = steps[None, :, None].astype(levels.dtype)
    return _dct(steps * _rounded(_dct(blocks, DCT) / steps), DCT.T).reshape(levels.shape)


def matrix_times(matrix: np.ndarray, colours: Float[Array, "*shape 3"]) -> Float[Array, "*shape 3"]:
    """Another basis of colours. Grey is (1, 0, 0) after ``TO_YCBCR``, so an offset of all colours is one of Y."""
    return jnp.matmul(colours, jnp.asarray(matrix.T, colours.dtype), precision=Precision.HIGHEST)


def _dct(blocks: Float[Array, "..."], matrix: np.ndarray) -> Float[Array, "..."]:
    m = jnp.asarray(matrix, blocks.dtype)
    return jnp.einsum("ua,vb,iajbc->iujvc", m, m, blocks, precision=Precision.HIGHEST)


def _rounded(a: Float[Array, "..."]) -> Float[Array, "..."]:
    """The nearest integer, with the derivative 1."""
    return a + jax.lax.stop_gradient(jnp.round(a) - a)
