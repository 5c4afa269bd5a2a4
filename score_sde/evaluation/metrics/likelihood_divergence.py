"""The feature likelihood divergence (Jiralerspong et al. 2023): quality, variety and memorisation in one number."""

import numpy as np
from scipy.special import logsumexp

from score_sde.checks import require
from score_sde.evaluation.metrics.distances import Features, blocks, check

SMALLEST = 0.01
"""The smallest deviation of a feature that counts, relative to the largest."""


def fld(train: Features, test: Features, generated: Features, *, iterations: int = 50, seed: int = 0) -> float:
    """100 (ℓ(generated) − ℓ(half of train)), with ℓ(c) the negative log-likelihood per dimension of the held-out features
    under a mixture of Gaussians with centres c.

    The width of each Gaussian maximises the likelihood of the training features: of a copy it shrinks to 0, and explains
    nothing else. Features are standardised by the training set's mean and deviation; those that hardly vary are left out,
    since divided by their deviation they would outweigh all others. 0: as good as real data of half the
    size.
    """
    check(train, test, generated)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    varies = deviation > SMALLEST * deviation.max()
    require(bool(varies.any()), "all training features are equal")
    train, test, generated = ((x - mean)[:, varies] / deviation[varies] for x in (train, test, generated))
    one, other = np.array_split(np.random.default_rng(seed).permutation(train), 2)
    baseline = negative_log_likelihood(one, other, test, iterations)
    return 100 * (negative_log_likelihood(generated, train, test, iterations) - baseline)


def negative_log_likelihood(centres: Features, fitted: Features, test: Features, iterations: int) -> float:
    """Per dimension, of ``test`` under the mixture whose widths are fitted to ``fitted`` by expectation maximisation."""
    d = centres.shape[1]
    gap = np.concatenate([block for _, block in blocks(fitted, centres)])  # (fitted, centres)
    variance = np.full(len(centres), np.median(gap.min(axis=1)) / d)
    smallest = 1e-6 * variance[0] + 1e-12
    for _ in range(iterations):
        log_p = _log_density(gap, variance, d)
        share = np.exp(log_p - logsumexp(log_p, axis=1, keepdims=True))
        weight = share.sum(axis=0)
        updated = np.sum(share * gap, axis=0) / (d * np.maximum(weight, 1e-300))
        variance = np.where(weight > 1e-12, np.maximum(updated, smallest), variance)
    log_p = np.concatenate([logsumexp(_log_density(block, variance, d), axis=1) for _, block in blocks(test, centres)])
    return float(-(log_p.mean() - np.log(len(centres))) / d)


def _log_density(gap: np.ndarray, variance: np.ndarray, d: int) -> np.ndarray:
    return -0.5 * (gap / variance + d * np.log(2 * np.pi * variance))
