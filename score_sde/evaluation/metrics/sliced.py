"""The sliced 2-Wasserstein distance (Rabin et al. 2011)."""

import numpy as np
from jaxtyping import Float

from score_sde.evaluation.metrics.distances import check
from score_sde.evaluation.metrics.estimate import Estimate


def sliced_w2(
    one: Float[np.ndarray, "n _d"], other: Float[np.ndarray, "m _d"], *, slices: int = 1000, seed: int = 0
) -> Estimate:
    """√(E_θ W₂²(θᵀx, θᵀy)) over random directions θ; the error is that of the number of directions alone."""
    check(one, other)
    draw = np.random.default_rng(seed)
    directions = draw.normal(size=(one.shape[1], slices))
    directions /= np.linalg.norm(directions, axis=0)
    a, b = (np.sort(np.asarray(x, np.float64) @ directions, axis=0) for x in (one, other))
    a, b, widths = _on_common_steps(a, b)
    squares = widths @ (a - b) ** 2
    mean, error = squares.mean(), squares.std(ddof=1) / np.sqrt(slices)
    value = float(np.sqrt(mean))
    return Estimate(value, float(error / (2 * value)) if value > 0 else 0.0)


def _on_common_steps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both quantile functions on the union of their steps, and the widths of these."""
    n, m = len(a), len(b)
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in units of 1/(nm), exact
    starts = np.concatenate([[0], ends[:-1]])
    return a[starts // m], b[starts // n], (ends - starts) / (n * m)
