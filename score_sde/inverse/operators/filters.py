"""Filters along one axis, as weights and as matrices, and the ways to continue an image beyond its border."""

import math
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from score_sde.checks import require

Border: TypeAlias = Literal["circular", "reflect", "symmetric", "replicate"]

BORDERS = {"circular": "wrap", "reflect": "reflect", "symmetric": "symmetric", "replicate": "edge"}
"""Our names and those of ``pad``. Of a b c d, three values to the left: b c d, d c b, c b a, a a a."""


def check_border(border: str) -> None:
    require(border in BORDERS, f"border = {border!r}; allowed: {', '.join(BORDERS)}")


def check_size(size: int, n: int, what: str) -> None:
    """A kernel is not larger than the image."""
    require(size <= n, f"{what} of {size} pixels for an image of {n}; allowed: up to {n}. Give a smaller size")


def filter_matrix(
    taps: Float[np.ndarray, "k"], n: int, *, first: int, stride: int = 1, border: Border
) -> Float[np.ndarray, "m n"]:
    """y_i = Σ_j taps_j x_{i·stride + first + j} for i < n/stride, as a matrix."""
    check_border(border)
    if stride == 1:
        check_size(len(taps), n, "a kernel")
    m = n // stride
    before, after = max(0, -first), max(0, (m - 1) * stride + first + len(taps) - n)
    padded = np.pad(np.eye(n), ((before, after), (0, 0)), mode=BORDERS[border])  # type: ignore[call-overload]
    starts = before + first + stride * np.arange(m)
    return np.stack([taps @ padded[start : start + len(taps)] for start in starts])


def gaussian_taps(std: float, size: int | None = None) -> Float[np.ndarray, "k"]:
    """exp(−i²/(2 std²)), normalised to sum 1, for i from −size//2 to size//2."""
    require(0 < std < math.inf, f"std = {std}; allowed: above 0, in pixels")
    size = 2 * math.ceil(4 * std) + 1 if size is None else size
    require(size > 0 and size % 2 == 1, f"size = {size}; allowed: an odd number of pixels, so that there is a middle")
    taps = np.exp(-0.5 * ((np.arange(size) - size // 2) / std) ** 2)
    return taps / taps.sum()


def bicubic_taps(factor: int) -> tuple[Float[np.ndarray, "k"], int]:
    """The weights for downsampling by an integer factor, and the place of the first, seen from the block's first pixel.

    k(u) = (a+2)|u|³ − (a+3)|u|² + 1 for |u| < 1,  a(|u|³ − 5|u|² + 8|u| − 4) for 1 <= |u| < 2,  a = −1/2, at distances
    u of the pixels from the middle of the block, in blocks.
    """
    require(factor >= 1, f"factor = {factor}; allowed: an integer from 1")
    middle = (factor - 1) / 2
    first, last = math.floor(middle - 2 * factor) + 1, math.ceil(middle + 2 * factor) - 1
    u = np.abs(np.arange(first, last + 1) - middle) / factor
    near, far = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * (u**3 - 5 * u**2 + 8 * u - 4)
    taps = np.where(u < 1, near, far)
    return taps / taps.sum(), first
