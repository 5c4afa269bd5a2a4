"""Resizing images as other people's metrics do: a part of every number that is called FID.

Images are (n, height, width, channels) with values from 0 to 255. The names say what to compare with:

    bicubic       antialiased, values kept as floats and clipped: clean-fid (PIL, mode "F"), EDM2 for DINOv2
    bicubic_bytes the same, rounded to bytes after each axis: dgm-eval (PIL on bytes)
    bilinear_tf1  corner of pixel i at i · old/new, no antialiasing: ADM, EDM, torch-fidelity, the first FID
    bilinear      centres of pixels, no antialiasing: pytorch-fid
    none          as they are
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "n height width channels"]
Resized = Float[Array, "n size_0 size_1 channels"]


def bicubic(images: Images, size: int) -> Resized:
    """Catmull-Rom's cubic, widened by the factor of a reduction."""
    shape = (images.shape[0], size, size, images.shape[3])
    return jnp.clip(jax.image.resize(images, shape, "cubic", antialias=True), 0, 255)


def bicubic_bytes(images: Images, size: int) -> Resized:
    """The same, rounded to bytes after the rows have been resized and again after the columns."""
    n, height, _, channels = images.shape
    for shape in ((n, height, size, channels), (n, size, size, channels)):
        images = jnp.clip(jnp.round(jax.image.resize(images, shape, "cubic", antialias=True)), 0, 255)
    return images


def bilinear(images: Images, size: int) -> Resized:
    """Source position (i + ½) old/new − ½, within the image."""
    return _interpolated(images, size, 0.5)


def bilinear_tf1(images: Images, size: int) -> Resized:
    """Source position i · old/new, as TensorFlow 1 did (half a pixel off for enlargements)."""
    return _interpolated(images, size, 0.0)


def none(images: Images, size: int) -> Resized:
    """The images as they are, whatever the size."""
    return images


RESIZES: Mapping[str, Callable[[Images, int], Resized]] = {
    "bicubic": bicubic,
    "bicubic_bytes": bicubic_bytes,
    "bilinear": bilinear,
    "bilinear_tf1": bilinear_tf1,
    "none": none,
}


def _interpolated(images: Images, size: int, centre: float) -> Resized:
    rows, columns = (jnp.asarray(_matrix(old, size, centre), images.dtype) for old in images.shape[1:3])
    with jax.default_matmul_precision("highest"):
        return jnp.einsum("ih,jw,nhwc->nijc", rows, columns, images)


def _matrix(old: int, new: int, centre: float) -> Float[np.ndarray, "new old"]:
    """The weights of the two neighbours of each source position."""
    position = np.clip((np.arange(new) + centre) * old / new - centre, 0, old - 1)
    below = np.minimum(position.astype(int), max(old - 2, 0))
    share = position - below
    matrix = np.zeros((new, old))
    matrix[np.arange(new), below] += 1 - share
    matrix[np.arange(new), np.minimum(below + 1, old - 1)] += share
    return matrix
