"""The Fréchet distance: its arithmetic, its invariances, and intervals that contain the truth as often as they say."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from score_sde.evaluation.metrics import Moments, frechet, frechet_infinity, frechet_jackknife
from score_sde.evaluation.metrics.frechet import standard_error

DRAW = np.random.default_rng(0)


def independent(a, b):
    """As in the papers, with scipy's matrix square root."""
    first, second = np.cov(a.T), np.cov(b.T)
    root = sqrtm(first @ second).real
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(first + second - 2 * root)


def samples(n, d, seed=0, shift=0.0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) / np.sqrt(d) + shift


def test_it_is_the_formula():
    a, b = samples(500, 20), samples(400, 20, 1, 0.3)
    np.testing.assert_allclose(frechet(a, b), independent(a, b), rtol=1e-9)


def test_it_is_the_formula_with_fewer_samples_than_dimensions():
    """By the singular values of the product of the centred samples, which needs no matrix of d x d."""
    a, b = samples(30, 64), samples(40, 64, 1, 0.3)
    x, y = ((s - s.mean(0)) / np.sqrt(len(s) - 1) for s in (a, b))
    overlap = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    wanted = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.sum(x**2) + np.sum(y**2) - 2 * overlap
    np.testing.assert_allclose(frechet(a, b), wanted, rtol=1e-6)


def test_of_gaussians_that_are_known():
    """Diagonal covariances: Σ (√s − √r)²."""
    d, s, r = 5, np.arange(1.0, 6), np.full(5, 2.0)
    ours = frechet(Moments(3, np.zeros(d), np.diag(2 * s)), Moments(2, np.ones(d), np.diag(r)))
    np.testing.assert_allclose(ours, d + np.sum((np.sqrt(s) - np.sqrt(r)) ** 2), rtol=1e-12)


def test_a_sample_has_no_distance_to_itself():
    x = samples(200, 30, shift=100.0)
    assert abs(frechet(x, x)) < 1e-9


def test_a_common_offset_does_not_hurt():
    a, b = samples(500, 20), samples(500, 20, 1)
    np.testing.assert_allclose(frechet(a + 100, b + 100), frechet(a, b), rtol=1e-9)
    merged = Moments.of(np.float32(a[:250] + 100)).merged(Moments.of(np.float32(a[250:] + 100)))
    np.testing.assert_allclose(frechet(merged, Moments.of(b + 100)), frechet(a, b), rtol=1e-4)


def test_moments_do_not_depend_on_batches_or_their_order():
    x = samples(300, 12, shift=100.0)
    whole = Moments.of(x)
    for sizes in ((1, 299), (100, 7, 193), (300,)):
        parts = np.split(DRAW.permutation(x), np.cumsum(sizes)[:-1])
        merged = Moments.of(parts[0])
        for part in parts[1:]:
            merged = merged.merged(Moments.of(part))
        assert merged.n == 300
        np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(merged.covariance, whole.covariance, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(whole.covariance, np.cov(x.T), rtol=1e-10, atol=1e-12)


def gaussians(d, seed=0):
    """Two Gaussians (mean, root of the covariance) and their distance."""
    draw = np.random.default_rng(seed)
    s = np.geomspace(1, 0.05, d)
    r = s * np.exp(0.25 * draw.normal(size=d))
    shift = 0.03 * draw.normal(size=d)
    return (np.zeros(d), np.sqrt(s)), (shift, np.sqrt(r)), np.sum(shift**2) + np.sum((np.sqrt(s) - np.sqrt(r)) ** 2)


@pytest.mark.parametrize(
    ("d", "n", "draws"),
    [
        (64, 2000, 40),
        pytest.param(64, 2000, 200, marks=pytest.mark.slow),
        pytest.param(320, 1250, 200, marks=pytest.mark.slow),
    ],
)
def test_intervals_of_ninety_percent_contain_the_truth(d, n, draws):
    """In 85 to 95 % of 200 draws (the jackknife), while the plain estimate is wrong by many standard errors."""
    (m1, r1), (m2, r2), truth = gaussians(d)
    draw = np.random.default_rng(1)
    inside, values, plain = 0, [], []
    for _ in range(draws):
        a, b = m1 + r1 * draw.normal(size=(n, d)), m2 + r2 * draw.normal(size=(n, d))
        found = frechet_jackknife(a, b, splits=2)
        low, high = found.interval(0.9)
        inside += low <= truth <= high
        values.append(found.value)
        plain.append(frechet(a, b))
    low, high = (0.85, 0.95) if draws >= 200 else (0.75, 1.0)
    assert low <= inside / draws <= high, inside
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / np.sqrt(draws) + 0.02 * truth
    assert np.mean(plain) > truth + 5 * np.std(plain)


def test_a_known_reference_has_no_part_in_the_error():
    (m1, r1), (m2, r2), truth = gaussians(16)
    draw = np.random.default_rng(2)
    reference = Moments(2, m2, np.diag(r2**2))
    found = [frechet_jackknife(m1 + r1 * draw.normal(size=(500, 16)), reference) for _ in range(60)]
    np.testing.assert_allclose(np.mean([f.value for f in found]), truth, atol=0.01)
    np.testing.assert_allclose(np.std([f.value for f in found]), np.mean([f.standard_error for f in found]), rtol=0.3)


def test_infinity_removes_the_bias_too():
    (m1, r1), (m2, r2), truth = gaussians(64)
    draw = np.random.default_rng(3)
    a, b = m1 + r1 * draw.normal(size=(2000, 64)), m2 + r2 * draw.normal(size=(2000, 64))
    found = frechet_infinity(a, b)
    assert abs(found.value - truth) < 0.3 * (frechet(a, b) - truth)


def test_no_error_is_claimed_where_there_are_too_few_samples():
    assert standard_error(samples(20, 32), samples(200, 32)) is None
    assert frechet_jackknife(samples(20, 32), samples(200, 32)).interval() is None


def test_bad_input():
    with pytest.raises(ValueError, match="features of 3 and of 4 dimensions"):
        frechet(samples(10, 3), samples(10, 4))
    with pytest.raises(ValueError, match="a covariance needs at least 2 samples, here are 1"):
        frechet(samples(1, 3), samples(10, 3))
