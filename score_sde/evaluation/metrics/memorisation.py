"""Whether a model copies its training examples: AuthPct (Alaa et al. 2022) and C_T (Meehan et al. 2020)."""

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.stats import rankdata

from score_sde.checks import require
from score_sde.evaluation.metrics.distances import Features, nearest, radii


def authpct(train: Features, generated: Features) -> float:
    """The percentage of generated samples that are authentic: farther from the nearest training example than that one
    is from its own nearest neighbour. 0 for copies.
    """
    index, distance = nearest(generated, train)
    found, back = np.unique(index, return_inverse=True)
    return float(100 * np.mean(distance > radii(train, 1, found)[back]))


def c_t(train: Features, test: Features, generated: Features, *, cells: int | None = None, seed: int = 0) -> float:
    """A z-score of whether generated samples lie nearer to the training examples than held-out ones do.

    In each cell of the training set, by k-means, the distances to the nearest training example are compared by the
    Mann-Whitney statistic; the result is the mean over cells, weighted by the held-out share. About 0 for a good model, far
    below 0 for copies, above 0 for samples off the data. Cells: one per 50 training examples, up to 10, unless given.
    """
    cells = max(1, min(10, len(train) // 50)) if cells is None else cells
    require(cells >= 1, f"cells = {cells}; allowed: 1 or more")
    centres, _ = kmeans2(np.asarray(train, np.float64), cells, minit="++", seed=seed)
    (_, test_distance), (_, distance) = nearest(test, train), nearest(generated, train)
    test_cell, cell = nearest(test, centres)[0], nearest(generated, centres)[0]
    total, weight = 0.0, 0
    for i in range(cells):
        here, there = distance[cell == i], test_distance[test_cell == i]
        if len(here) > 20 and len(there) > 20:  # the statistic is normal only for enough samples
            total += len(there) * _mann_whitney(here, there)
            weight += len(there)
    require(weight > 0, "no cell holds more than 20 held-out and 20 generated samples; give more, or fewer cells")
    return total / weight


def _mann_whitney(one: np.ndarray, other: np.ndarray) -> float:
    """(U − nm/2)/√(nm(n + m + 1)/12), where U counts the pairs with one > other."""
    n, m = len(one), len(other)
    u = rankdata(np.concatenate([one, other]))[:n].sum() - n * (n + 1) / 2
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
