"""Distances between features, a block of rows at a time, and nearest neighbours."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from score_sde.checks import require

Features = Float[np.ndarray, "_n _d"]
"""Several samples of one function may differ in both sizes; ``check`` compares the second."""
BLOCK = 2048


def squared(one: Float[np.ndarray, "n _d"], other: Float[np.ndarray, "m _d"]) -> Float[np.ndarray, "n m"]:
    """‖x − y‖² in float64."""
    x, y = np.asarray(one, np.float64), np.asarray(other, np.float64)
    gap = -2 * x @ y.T
    gap += np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1)
    return np.maximum(gap, 0, out=gap)


def blocks(
    one: Float[np.ndarray, "n _d"], other: Float[np.ndarray, "m _d"]
) -> Iterator[tuple[slice, Float[np.ndarray, "rows m"]]]:
    """(rows, their squared distances to all of ``other``), block by block, after a common mean is subtracted."""
    check(one, other)
    mean = np.asarray(other, np.float64).mean(axis=0)  # large common parts would take the digits of the differences
    x, y = np.asarray(one, np.float64) - mean, np.asarray(other, np.float64) - mean
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        yield rows, squared(x[rows], y)


def nearest(
    one: Float[np.ndarray, "n _d"], other: Float[np.ndarray, "m _d"]
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """(the index of the nearest of ``other``, the distance to it) for each row."""
    index, distance = np.zeros(len(one), int), np.zeros(len(one))
    for rows, gap in blocks(one, other):
        index[rows] = gap.argmin(axis=1)
        distance[rows] = np.sqrt(gap.min(axis=1))
    return index, distance


def radii(sample: Float[np.ndarray, "n _d"], k: int, of: Int[np.ndarray, "m"] | None = None) -> Float[np.ndarray, "_m"]:
    """The distance of each row, or of the rows ``of`` alone, to its k-th nearest neighbour in the same sample."""
    require(1 <= k < len(sample), f"k = {k}; allowed: from 1 to below the number of samples, {len(sample)}")
    of = np.arange(len(sample)) if of is None else of
    found = np.zeros(len(of))
    for rows, gap in blocks(sample[of], sample):
        gap[np.arange(len(gap)), of[rows]] = -1.0  # itself comes first, whatever rounding says
        found[rows] = np.sqrt(np.partition(gap, k, axis=1)[:, k])
    return found


def check(*samples: np.ndarray) -> None:
    """Raise a ValueError unless all are finite features (n, d) of the same d."""
    for features in samples:
        require(features.ndim == 2 and len(features) > 0, f"features of shape {features.shape}; give (n, d)")
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        require(not len(bad), f"the features of {len(bad)} of {len(features)} samples are not finite, first {bad[:1]}")
    sizes = {features.shape[1] for features in samples}
    require(len(sizes) == 1, f"features of different dimensions: {sorted(sizes)}")
