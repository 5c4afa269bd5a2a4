"""Distances between two samples by a kernel: KID (Bińkowski et al. 2018) and CMMD (Jayasumana et al. 2024).

MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y)
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from score_sde.checks import require
from score_sde.evaluation.metrics.distances import BLOCK, Features, check, squared
from score_sde.evaluation.metrics.estimate import Estimate

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


def kid(one: Features, other: Features) -> Estimate:
    """The unbiased estimate with k = (xᵀy/d + 1)³ over all pairs, and its standard error.

    Near 0 it may be negative. The standard deviation over subsets, which others print beside KID, is no standard error.
    """
    check(one, other)
    require(min(len(one), len(other)) > 2, "KID needs at least 3 samples on each side")
    return _unbiased(one, other, _cubic)


def kid_of_subsets(one: Features, other: Features, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> Estimate:
    """The mean over random subsets, as torch-fidelity computes it; no standard error."""
    require(size <= min(len(one), len(other)), f"size = {size}; the samples have {len(one)} and {len(other)} members")
    draw = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        x, y = (np.asarray(each[draw.choice(len(each), size, replace=False)], np.float64) for each in (one, other))
        values.append(_within(_cubic(x, x)) + _within(_cubic(y, y)) - 2 * _cubic(x, y).mean())
    return Estimate(float(np.mean(values)))


def cmmd(one: Features, other: Features, *, sigma: float = 10.0, scale: float = 1000.0) -> float:
    """1000 MMD² with k = exp(−‖x − y‖²/(2σ²)), the biased estimate over all pairs, each with itself too."""
    check(one, other)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-squared(x, y) / (2 * sigma**2))

    xx, yy, xy = (_sums(a, b, kernel).rows.mean() / len(b) for a, b in ((one, one), (other, other), (one, other)))
    return float(scale * (xx + yy - 2 * xy))


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _within(kernel: np.ndarray) -> float:
    """The mean over pairs of different samples."""
    return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))


class _Sums(NamedTuple):
    rows: np.ndarray
    """Σ_j k(x_i, y_j)."""
    columns: np.ndarray
    squares: float
    """Σ_ij k(x_i, y_j)²."""
    diagonal: np.ndarray
    """k(x_i, y_i), where both samples are the same."""


def _sums(one: Features, other: Features, kernel: Kernel) -> _Sums:
    x, y = np.asarray(one, np.float64), np.asarray(other, np.float64)
    rows, columns, squares, diagonal = np.zeros(len(x)), np.zeros(len(y)), 0.0, np.zeros(len(x))
    for start in range(0, len(x), BLOCK):
        stop = min(start + BLOCK, len(x))
        k = kernel(x[start:stop], y)
        rows[start:stop] = k.sum(axis=1)
        columns += k.sum(axis=0)
        squares += float(np.sum(k**2))
        if one is other:
            diagonal[start:stop] = k[np.arange(stop - start), np.arange(start, stop)]
    return _Sums(rows, columns, squares, diagonal)


def _unbiased(one: Features, other: Features, kernel: Kernel) -> Estimate:
    """The U-statistic. Its variance is that of the influences of all samples,

        V₁/n + V₂/m,   V₁ = Var 2 (k̄(x, ·) − k̄(x, ·')),

    less a correction: the estimated influences are noisy themselves, which counts the terms of second order,
    Q = 2σ²_xx/n² + 2σ²_yy/m² + 4σ²_xy/(nm) of centred kernels, twice.
    """
    n, m = len(one), len(other)
    xx, yy, xy = _sums(one, one, kernel), _sums(other, other, kernel), _sums(one, other, kernel)
    within_x, within_y = (xx.rows - xx.diagonal) / (n - 1), (yy.rows - yy.diagonal) / (m - 1)
    across_x, across_y = xy.rows / m, xy.columns / n
    value = within_x.mean() + within_y.mean() - 2 * across_x.mean()
    first = np.var(2 * (within_x - across_x), ddof=1) / n + np.var(2 * (within_y - across_y), ddof=1) / m
    spread_x = _centred(xx.squares - float(np.sum(xx.diagonal**2)), n * (n - 1), within_x, within_x)
    spread_y = _centred(yy.squares - float(np.sum(yy.diagonal**2)), m * (m - 1), within_y, within_y)
    spread_xy = _centred(xy.squares, n * m, across_x, across_y)
    second = 2 * spread_x / n**2 + 2 * spread_y / m**2 + 4 * spread_xy / (n * m)
    return Estimate(float(value), float(np.sqrt(max(first - second, second))))


def _centred(squares: float, pairs: int, rows: np.ndarray, columns: np.ndarray) -> float:
    """The variance of k(x, y) − E_y k − E_x k + E k."""
    return max(squares / pairs - rows.mean() ** 2 - rows.var() - columns.var(), 0.0)
