"""Magnetic resonance imaging: some Fourier coefficients of a real image.

    y_k = (Re x̂_k, Im x̂_k),   x̂ = FFT(x)/√n

A real image has x̂_{−k} = conj x̂_k. So of a pair ±k that is measured once, real and imaginary part are √½ times an
orthonormal pair of waves; of one that is measured twice, the four numbers are two, each seen twice, with s = 1; and the
imaginary part at k = −k (the mean, and the highest frequency of an even size) is always 0: noise alone.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from score_sde.checks import require
from score_sde.inverse.operators.base import IMAGE, Operator, as_shape, assign
from score_sde.inverse.operators.mask import as_mask
from score_sde.inverse.operators.spectral import SVD


@dataclasses.dataclass(frozen=True, init=False)
class FourierMask(Operator):
    """The coefficients of x (height, width, channels) where ``mask`` (height, width) is True, in the order of
    ``jnp.fft.fft2``: zero frequency first. y is (coefficients, channels, 2): real and imaginary parts.
    """

    indices: Int[Array, "m"]  # of the flattened frequencies
    # For each pair ±k of which something is measured: its place in y, that of −k (the same if that is not measured, or
    # is k), and whether these are two. ``waves`` are the pairs that are not k = −k.
    first: Int[Array, "k"]
    second: Int[Array, "k"]
    twice: Bool[Array, "k"]
    waves: Int[Array, "w"]

    structured = True

    def __init__(self, mask: Any, shape: tuple[int, ...] | None = None):
        mask = as_mask(mask)
        shape = as_shape((*mask.shape, 1) if shape is None else shape, IMAGE)
        require(mask.shape == shape[:2], f"mask has shape {mask.shape}; x of shape {shape} needs {shape[:2]}")
        indices = np.flatnonzero(mask)
        opposite = _opposite(indices, *mask.shape)
        place = np.full(mask.size, -1)
        place[indices] = np.arange(len(indices))
        other = np.where(place[opposite] < 0, place[indices], place[opposite])
        first = np.flatnonzero(place[indices] <= other)
        waves = np.flatnonzero((indices != opposite)[first])
        arrays = {"indices": indices, "first": first, "second": other[first], "waves": waves}
        known = {name: jnp.asarray(array) for name, array in arrays.items()}
        assign(self, shape=shape, twice=known["first"] != known["second"], **known)

    def apply(self, x: Float[Array, "height width channels"]) -> Float[Array, "m channels 2"]:
        spectrum = jnp.fft.fft2(x, axes=(0, 1), norm="ortho").reshape(-1, x.shape[-1])[self.indices]
        return jnp.stack([spectrum.real, spectrum.imag], -1)

    def svd(self) -> SVD:
        """The coordinates of y are those of its pairs: (y_k ± y_{−k})/√2, or y_k alone; those of x are Vᵀ = s⁻¹ Uᵀ A."""
        is_wave = jnp.zeros(self.first.shape, bool).at[self.waves].set(True)
        s = jnp.where(is_wave & ~self.twice, math.sqrt(0.5), 1.0)
        s = jnp.broadcast_to(jnp.concatenate([s, s[self.waves]])[:, None], (len(s) + len(self.waves), self.shape[-1]))

        def from_y(y: Float[Array, "m channels 2"]) -> Float[Array, "z channels"]:
            again = self.twice.astype(y.dtype)[:, None]
            weight = jnp.where(again > 0, math.sqrt(0.5), 1.0).astype(y.dtype)
            real = weight * (y[self.first, :, 0] + again * y[self.second, :, 0])
            imaginary = weight * (y[self.first, :, 1] - again * y[self.second, :, 1])
            return jnp.concatenate([real, imaginary[self.waves]])

        from_x = lambda x: from_y(self.apply(x)) / s.astype(x.dtype)  # noqa: E731
        return SVD(s, jax.vmap(from_x), jax.vmap(from_y), self.shape, self.measured)


def mri(shape: tuple[int, ...], acceleration: float, *, centre: float = 0.08, seed: int) -> FourierMask:
    """Cartesian MRI: 1/``acceleration`` of the columns of frequencies, the lowest ``centre`` of all columns among them,
    the others at random (as in fastMRI, but an exact number).
    """
    height, width, _ = shape = as_shape(shape, IMAGE)
    require(acceleration >= 1, f"acceleration = {acceleration}; allowed: 1 (everything is measured) or more")
    chosen, low = round(width / acceleration), max(round(centre * width), 1)
    require(
        low <= chosen,
        f"centre = {centre} is {low} of {width} columns, more than the {chosen} of acceleration {acceleration}",
    )
    columns = np.argsort(np.abs(np.fft.fftfreq(width)), kind="stable")
    rest = np.random.default_rng(seed).permutation(columns[low:])
    mask = np.zeros((height, width), bool)
    mask[:, columns[:low]] = mask[:, rest[: chosen - low]] = True
    return FourierMask(mask, shape)


def _opposite(frequency: Int[np.ndarray, "n"], height: int, width: int) -> Int[np.ndarray, "n"]:
    """−k, among the flattened frequencies."""
    row, column = np.divmod(frequency, width)
    return (-row % height) * width + (-column % width)
