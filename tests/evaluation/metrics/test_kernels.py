"""KID and CMMD: their sums over pairs written out, and intervals that contain the truth."""

import numpy as np
import pytest

from score_sde.evaluation.metrics import cmmd, kid, kid_of_subsets
from score_sde.evaluation.metrics.kernels import BLOCK


def samples(n, d=8, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def over_pairs(a, b, kernel):
    """(sum over i ≠ j within a, within b, over all pairs between)."""
    within = [sum(kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j) for x in (a, b)]
    return *within, sum(kernel(x, y) for x in a for y in b)


def test_kid_is_the_mean_over_all_pairs():
    a, b = samples(15), samples(11, seed=1, shift=0.2)
    n, m = len(a), len(b)
    xx, yy, xy = over_pairs(a, b, lambda x, y: (x @ y / 8 + 1) ** 3)
    np.testing.assert_allclose(kid(a, b).value, xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m), rtol=1e-9)


def test_cmmd_is_the_mean_over_all_pairs_and_each_with_itself():
    a, b = samples(12), samples(9, seed=1, shift=0.2)
    n, m = len(a), len(b)
    xx, yy, xy = over_pairs(a, b, lambda x, y: np.exp(-np.sum((x - y) ** 2) / 200))
    wanted = 1000 * ((xx + n) / n**2 + (yy + m) / m**2 - 2 * xy / (n * m))
    np.testing.assert_allclose(cmmd(a, b), wanted, rtol=1e-8)


def test_blocks_do_not_matter():
    a, b = samples(BLOCK + 30, 3), samples(40, 3, 1)
    k = (a @ a.T / 3 + 1) ** 3
    n = len(a)
    wanted = (k.sum() - np.trace(k)) / (n * (n - 1))
    kbb, kab = (b @ b.T / 3 + 1) ** 3, (a @ b.T / 3 + 1) ** 3
    wanted += (kbb.sum() - np.trace(kbb)) / (40 * 39) - 2 * kab.mean()
    np.testing.assert_allclose(kid(a, b).value, wanted, rtol=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3])
def test_the_standard_error_is_that_of_many_draws(shift):
    """Also where both distributions are the same and the first order vanishes."""
    found = [kid(samples(300, seed=2 * i), samples(200, seed=2 * i + 1, shift=shift)) for i in range(150)]
    values, errors = (np.array([f[i] for f in found]) for i in (0, 1))
    np.testing.assert_allclose(np.sqrt(np.mean(errors**2)), values.std(), rtol=0.2)


def test_kid_is_unbiased():
    """E KID of N(0, 1) and N(c, 1) is that of a million pairs."""
    values = [kid(samples(50, 2, 2 * i), samples(60, 2, 2 * i + 1, 0.5)).value for i in range(400)]
    big = kid(samples(6000, 2, 9001), samples(6000, 2, 9002, 0.5))
    error = np.hypot(np.std(values) / 20, big.standard_error)
    assert abs(np.mean(values) - big.value) < 4 * error


def test_subsets_estimate_the_same():
    a, b = samples(400), samples(400, seed=1, shift=0.3)
    assert abs(kid_of_subsets(a, b, subsets=20, size=200).value - kid(a, b).value) < 3 * kid(a, b).standard_error


def test_bad_input():
    with pytest.raises(ValueError, match=r"the features of 1 of 5 samples are not finite, first \[2\]"):
        kid(np.where(np.arange(5)[:, None] == 2, np.nan, samples(5)), samples(5))
    with pytest.raises(ValueError, match=r"features of different dimensions: \[3, 8\]"):
        kid(samples(5), samples(5, 3))
