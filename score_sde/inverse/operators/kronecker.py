"""Operators that act along each axis by itself: separable filters, downsampling, matrices over colours.

    A = M_1 ⊗ M_2 ⊗ ... :   y_{ij...} = Σ (M_1)_{ia} (M_2)_{jb} ... x_{ab...}

The decomposition of A is the product of those of the small M, so every such operator has a cheap pseudo-inverse and
solve, whatever its border (Kawar et al. 2022, DDRM, appendix D).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float

from score_sde.checks import as_floating, require
from score_sde.inverse.operators.base import IMAGE, Operator, as_shape, assign
from score_sde.inverse.operators.filters import Border, bicubic_taps, filter_matrix, gaussian_taps
from score_sde.inverse.operators.spectral import SVD, decomposed

Matrices = tuple[Float[Array, "..."] | None, ...]


@dataclasses.dataclass(frozen=True, init=False)
class Kronecker(Operator):
    """One matrix (m_i, n_i) for each axis of x, None for an axis that stays."""

    factors: Matrices
    left: Matrices  # M_i = left_i diag(values_i) right_iᵀ
    values: Matrices
    right: Matrices

    structured = True

    def __init__(self, factors: Sequence[Any], shape: tuple[int, ...]):
        shape = as_shape(shape)
        require(
            len(factors) == len(shape),
            f"{len(factors)} factors for x of shape {shape}; give one for each axis, or None",
        )
        for axis, (factor, n) in enumerate(zip(factors, shape, strict=True)):
            found = None if factor is None else np.shape(factor)
            require(
                found is None or (len(found) == 2 and found[1] == n and found[0] > 0),
                f"factors[{axis}] has shape {found}; x of shape {shape} needs (any, {n}) there, or None",
            )
        parts = [(None, None, None) if factor is None else decomposed(factor) for factor in factors]
        left, values, right = (tuple(part) for part in zip(*parts, strict=True))
        known = tuple(None if factor is None else as_floating(factor) for factor in factors)
        assign(self, shape=shape, factors=known, left=left, values=values, right=right)

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "*measured"]:
        return _along_axes(self.factors, x)

    def svd(self) -> SVD:
        """U = ⊗ U_i, V = ⊗ V_i, s = ⊗ s_i."""
        ones = (jnp.ones(n) if s is None else s for s, n in zip(self.values, self.shape, strict=True))
        s = functools.reduce(lambda a, b: a[..., None] * b, ones)
        transposed = lambda matrices: tuple(None if m is None else m.T for m in matrices)  # noqa: E731
        along = lambda matrices: jax.vmap(lambda x: _along_axes(transposed(matrices), x))  # noqa: E731
        return SVD(s, along(self.right), along(self.left), self.shape, self.measured)


def average_downsampling(shape: tuple[int, ...], factor: int) -> Kronecker:
    """The mean of each block of ``factor`` x ``factor`` pixels."""
    return _downsampling(shape, factor, np.full(max(factor, 1), 1 / max(factor, 1)), 0, "symmetric")


def bicubic_downsampling(shape: tuple[int, ...], factor: int, border: Border = "symmetric") -> Kronecker:
    """Bicubic interpolation with a = −1/2 at the resolution of the result: ``factor`` times wider than the kernel of
    Keys 1981, against aliasing, as in Pillow and in DDRM.

    Pillow drops what lies beyond the border and rescales the rest; here the image is mirrored ("symmetric": edge
    pixels twice), or continued as ``border`` says. Away from the border the two are equal.
    """
    taps, first = bicubic_taps(factor)
    return _downsampling(shape, factor, taps, first, border)


def gaussian_blur(shape: tuple[int, ...], std: float, size: int | None = None, border: Border = "reflect") -> Kronecker:
    """The average with weights exp(−i²/(2 std²)) over ``size`` pixels, an odd number; by default 4 std on each side."""
    height, width, _ = shape = as_shape(shape, IMAGE)
    taps = gaussian_taps(std, size)
    rows, columns = (filter_matrix(taps, n, first=-(len(taps) // 2), border=border) for n in (height, width))
    return Kronecker((rows, columns, None), shape)


def colour(shape: tuple[int, ...], matrix: Any) -> Kronecker:
    """``matrix`` (k, channels) times the colour of each pixel."""
    return Kronecker((None, None, matrix), as_shape(shape, IMAGE))


GREY = {"itu": (0.299, 0.587, 0.114), "mean": (1 / 3, 1 / 3, 1 / 3)}


def grey(shape: tuple[int, ...], weights: str = "itu") -> Kronecker:
    """Brightness, for colourisation: .299 R + .587 G + .114 B ("itu": ITU-R BT.601), or the mean of the three."""
    require(weights in GREY, f"weights = {weights!r}; allowed: {', '.join(GREY)}; other weights: colour(shape, matrix)")
    require(as_shape(shape, IMAGE)[-1] == 3, f"shape = {shape}; grey is made of 3 channels")
    return colour(shape, [GREY[weights]])


def _downsampling(shape: tuple[int, ...], factor: int, taps: np.ndarray, first: int, border: Border) -> Kronecker:
    height, width, _ = shape = as_shape(shape, IMAGE)
    require(
        factor >= 1 and height % factor == 0 and width % factor == 0,
        f"factor = {factor} does not divide an image of {height} x {width}; allowed: a common divisor",
    )
    rows, columns = (filter_matrix(taps, n, first=first, stride=factor, border=border) for n in (height, width))
    return Kronecker((rows, columns, None), shape)


def _along_axes(matrices: Matrices, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Each matrix times its axis of x."""
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            product = jnp.tensordot(matrix.astype(x.dtype), x, (1, axis), precision=Precision.HIGHEST)
            x = jnp.moveaxis(product, 0, axis)
    return x
