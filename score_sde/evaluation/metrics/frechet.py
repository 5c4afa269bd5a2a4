"""The Fréchet distance of two samples, taken for Gaussians, and estimates of it without bias.

    FD = ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½),

the squared 2-Wasserstein distance of N(μ₁, Σ₁) and N(μ₂, Σ₂). FID is the FD of Inception features (Heusel et al. 2017).

The estimate from N samples is too large by about c/N, often by more than the distance itself. Two estimates remove this:

    jackknife   2 FD_N − FD_{N/2}, where FD_{N/2} is the mean over halves of both samples
    infinity    FD∞, the intercept of a line through FD_n against 1/n (Chong & Forsyth 2020)

Their standard error is the delta method's: FD changes by tr((1 − T₁) dΣ₁) + 2 (μ₁ − μ₂)ᵀ dμ₁, with the optimal map
T₁ = Σ₁^{−½} (Σ₁^½ Σ₂ Σ₁^½)^½ Σ₁^{−½}, so that each sample has an influence on it, and the variance of their mean is the
variance of FD. (A percentile bootstrap covers the truth in 0 % of cases: it resamples around the biased value.)
"""

import numpy as np
from scipy.linalg.lapack import dpstrf

from score_sde.checks import require
from score_sde.evaluation.metrics.distances import Features
from score_sde.evaluation.metrics.estimate import Estimate
from score_sde.evaluation.metrics.moments import Moments


def frechet(one: Features | Moments, other: Features | Moments) -> float:
    """FD of two samples, given as features (n, d) or as their moments."""
    a, b = _moments(one), _moments(other)
    require(a.mean.shape == b.mean.shape, f"features of {len(a.mean)} and of {len(b.mean)} dimensions")
    first, second = a.covariance, b.covariance
    root = _root(first)
    # The eigenvalues of Rᵀ Σ₂ R, for Σ₁ = R Rᵀ, are those of Σ₁Σ₂; this matrix is symmetric.
    squares = np.linalg.eigvalsh(root.T @ second @ root)
    overlap = np.sqrt(np.maximum(squares, 0)).sum()
    return float(np.sum((a.mean - b.mean) ** 2) + np.trace(first) + np.trace(second) - 2 * overlap)


def frechet_jackknife(one: Features, other: Features | Moments, *, splits: int = 5, seed: int = 0) -> Estimate:
    """2 FD_N − FD_{N/2}. Where ``other`` is given as moments, it counts as known exactly."""
    draw = np.random.default_rng(seed)
    halves = []
    for _ in range(splits):
        pairs = zip(_halves(one, draw), _halves(other, draw), strict=True)
        halves.append(np.mean([frechet(a, b) for a, b in pairs]))
    whole = _moments(one), _moments(other)
    return Estimate(2 * frechet(*whole) - float(np.mean(halves)), _standard_error(one, other, *whole))


def frechet_infinity(
    one: Features, other: Features | Moments, *, points: int = 15, smallest: int | None = None, seed: int = 0
) -> Estimate:
    """FD∞ from ``points`` sizes of both samples, evenly spaced from ``smallest`` (a tenth unless given) to all."""
    draw = np.random.default_rng(seed)
    n = len(one)
    smallest = max(n // 10, 2) if smallest is None else smallest
    require(2 <= smallest < n, f"smallest = {smallest}; allowed: from 2 to below the {n} samples")
    sizes = np.linspace(smallest, n, points).astype(int)
    values = [frechet(_some(one, size / n, draw), _some(other, size / n, draw)) for size in sizes]
    slope_and_intercept = np.polyfit(1 / sizes, values, 1)
    return Estimate(float(slope_and_intercept[1]), standard_error(one, other))


def standard_error(one: Features, other: Features | Moments) -> float | None:
    """Of FD by the delta method; None where a sample has no more members than dimensions."""
    return _standard_error(one, other, _moments(one), _moments(other))


def _standard_error(one: Features, other: Features | Moments, a: Moments, b: Moments) -> float | None:
    """The same where the moments of both are at hand."""
    known = isinstance(other, Moments)
    if (a.n if known else min(a.n, b.n)) <= len(a.mean):
        return None
    variance = np.var(_influence(np.asarray(one, np.float64), a, b), ddof=1) / a.n
    if not known:
        variance += np.var(_influence(np.asarray(other, np.float64), b, a), ddof=1) / b.n
    return float(np.sqrt(variance))


def _influence(x: np.ndarray, own: Moments, other: Moments) -> np.ndarray:
    """How much each sample moves FD, times n."""
    centred = x - own.mean
    transport = np.eye(len(own.mean)) - _optimal_map(own.covariance, other.covariance)
    return 2 * centred @ (own.mean - other.mean) + np.sum(centred @ transport * centred, axis=1)


def _optimal_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """T = Σ₁^{−½} (Σ₁^½ Σ₂ Σ₁^½)^½ Σ₁^{−½}, which maps N(0, Σ₁) to N(0, Σ₂)."""
    values, vectors = np.linalg.eigh(first)
    values = np.maximum(values, 1e-12 * values[-1])
    half, inverse = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
    values, vectors = np.linalg.eigh(half @ second @ half)
    middle = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return inverse @ middle @ inverse


def _root(covariance: np.ndarray) -> np.ndarray:
    """R with R Rᵀ = Σ, with as many columns as Σ has rank: Cholesky's with pivoting, quicker than eigenvectors."""
    lower, order, rank, _ = dpstrf(covariance, lower=1)
    root = np.empty((len(covariance), rank))
    root[order - 1] = np.tril(lower)[:, :rank]
    return root


def _moments(sample: Features | Moments) -> Moments:
    return sample if isinstance(sample, Moments) else Moments.of(sample)


def _some(sample: Features | Moments, share: float, draw: np.random.Generator) -> Features | Moments:
    """A random part of the features; moments as they are."""
    if isinstance(sample, Moments):
        return sample
    return sample[draw.permutation(len(sample))[: max(round(share * len(sample)), 2)]]


def _halves(sample: Features | Moments, draw: np.random.Generator) -> list[Features | Moments]:
    if isinstance(sample, Moments):
        return [sample, sample]
    order = draw.permutation(len(sample))
    half = len(sample) // 2
    return [sample[order[:half]], sample[order[half : 2 * half]]]
