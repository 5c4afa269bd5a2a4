"""The Vendi score (Friedman & Dieng 2023): how many different things a sample holds."""

import numpy as np
from jaxtyping import Float

from score_sde.checks import require


def vendi(features: Float[np.ndarray, "n d"]) -> float:
    """exp(−Σ λ log λ) of the eigenvalues of K/n, where K_ij is the cosine of the features i and j.

    1 if all are the same, n if all are orthogonal.
    """
    x = np.asarray(features, np.float64)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    require(bool((norms > 0).all()), "a feature vector is zero: its cosine with others is not defined")
    x = x / norms
    gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x  # the same eigenvalues besides 0
    values = np.linalg.eigvalsh(gram / len(x))
    values = values[values > 1e-15]
    return float(np.exp(-np.sum(values * np.log(values))))
