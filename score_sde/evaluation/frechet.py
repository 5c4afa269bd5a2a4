"""The Fréchet distance between Gaussian fits to two samples, of their pixels or of any features."""

import numpy as np
from jaxtyping import Float

from score_sde.checks import require


def frechet(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m e"]) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½): the squared 2-Wasserstein distance between N(μ₁, Σ₁) and N(μ₂, Σ₂).

    The estimate from n samples is biased upwards by O(1/n): compare at equal n. The eigenvalues of (Σ₁Σ₂)^½ are the
    square roots of those of Σ₁Σ₂, which are non-negative. FID uses Inception features (Heusel et al. 2017).
    """
    require(one.shape[1] == other.shape[1], f"features of {one.shape[1]} and of {other.shape[1]} dimensions")
    require(min(len(one), len(other)) > 1, "a covariance needs two samples at least")
    first, second = np.cov(one.T).reshape(one.shape[1], -1), np.cov(other.T).reshape(one.shape[1], -1)
    root = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0))
    means = np.sum((one.mean(axis=0) - other.mean(axis=0)) ** 2)
    return float(means + np.trace(first) + np.trace(second) - 2 * root.sum())
