"""The Fréchet distance against closed forms and against an independent matrix square root."""

import numpy as np
import pytest
import scipy.linalg

from score_sde.evaluation.frechet import frechet


def whitened(rng, n: int, d: int) -> np.ndarray:
    """Samples whose mean is 0 and whose covariance is 1, exactly."""
    x = rng.normal(size=(n, d))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def test_commuting_gaussians():
    """Scaled and moved: ‖m‖² + Σ (a − b)²."""
    rng = np.random.default_rng(0)
    a, b, m = np.array([1.0, 2.0, 0.5]), np.array([1.5, 0.5, 0.5]), np.array([0.3, -1.0, 2.0])
    found = frechet(whitened(rng, 50, 3) * a, whitened(rng, 80, 3) * b + m)
    np.testing.assert_allclose(found, np.sum(m**2) + np.sum((a - b) ** 2), rtol=1e-10)


def test_any_gaussians():
    """Against tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½) by scipy; symmetric; 0 for the same."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5))
    half = scipy.linalg.sqrtm(np.cov(one.T))
    middle = scipy.linalg.sqrtm(half @ np.cov(other.T) @ half)
    truth = np.sum((one.mean(0) - other.mean(0)) ** 2) + np.trace(np.cov(one.T) + np.cov(other.T) - 2 * middle.real)
    np.testing.assert_allclose(frechet(one, other), truth, rtol=1e-8)
    np.testing.assert_allclose(frechet(other, one), truth, rtol=1e-8)
    np.testing.assert_allclose(frechet(one, one), 0, atol=1e-10)


def test_bad_input():
    with pytest.raises(ValueError, match="features of 2 and of 3 dimensions"):
        frechet(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="two samples"):
        frechet(np.zeros((1, 2)), np.zeros((4, 2)))
