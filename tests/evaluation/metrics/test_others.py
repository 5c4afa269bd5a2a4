"""The other metrics, each against its definition written out."""

import itertools

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import mannwhitneyu, multivariate_normal, norm

from score_sde.evaluation.metrics import authpct, c_t, classifier_accuracy, fld, inception_score, prdc, sliced_w2, vendi
from score_sde.evaluation.metrics.classifier_accuracy import fitted
from score_sde.evaluation.metrics.likelihood_divergence import negative_log_likelihood


def samples(n, d=4, seed=0, shift=0.0, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=(n, d)) + shift


def distance(x, y):
    return np.sqrt(np.sum((x - y) ** 2))


def ball(sample, k):
    return [sorted(distance(x, y) for j, y in enumerate(sample) if j != i)[k - 1] for i, x in enumerate(sample)]


@pytest.mark.parametrize("k", [1, 3])
def test_precision_recall_density_coverage(k):
    real, made = samples(40), samples(35, seed=1, shift=0.4)
    real_balls, made_balls = ball(real, k), ball(made, k)
    inside = np.array([[distance(x, y) <= r for x, r in zip(real, real_balls, strict=True)] for y in made])
    wanted = {
        "precision": np.mean(inside.any(axis=1)),
        "recall": np.mean([any(distance(x, y) <= r for y, r in zip(made, made_balls, strict=True)) for x in real]),
        "density": inside.sum() / (k * len(made)),
        "coverage": np.mean(inside.any(axis=0)),
    }
    found = prdc(real, made, k)
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-12, err_msg=name)


def test_the_same_distribution_is_precise_and_covered_and_half_of_it_is_not_covered():
    real = np.concatenate([samples(300, seed=1, shift=-3), samples(300, seed=2, shift=3)])
    same = np.concatenate([samples(300, seed=3, shift=-3), samples(300, seed=4, shift=3)])
    half = samples(600, seed=5, shift=3)
    assert min(prdc(real, same)) > 0.8
    assert prdc(real, half).precision > 0.8
    assert prdc(real, half).recall < 0.6
    assert prdc(real, half).coverage < 0.6


def test_inception_score():
    logits = samples(60, 5, scale=2)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = [np.exp(np.mean(np.sum(q * np.log(q / q.mean(0)), axis=1))) for q in np.split(p, 3)]
    found = inception_score(logits, splits=3, seed=None)
    np.testing.assert_allclose(found, (np.mean(scores), np.std(scores, ddof=1) / np.sqrt(3)), rtol=1e-10)
    certain = 50 * np.eye(5)[np.arange(100) % 5]
    np.testing.assert_allclose(inception_score(certain, splits=1).value, 5, rtol=1e-9)
    np.testing.assert_allclose(inception_score(np.zeros((10, 5)), splits=1).value, 1, rtol=1e-12)


@pytest.mark.parametrize("shape", [(30, 6), (6, 30)])
def test_vendi(shape):
    x = samples(*shape)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(unit @ unit.T / len(x))
    eigenvalues = eigenvalues[eigenvalues > 1e-12]
    np.testing.assert_allclose(vendi(x), np.exp(-np.sum(eigenvalues * np.log(eigenvalues))), rtol=1e-9)
    np.testing.assert_allclose(vendi(np.repeat(x[:1], 7, axis=0)), 1, rtol=1e-9)
    np.testing.assert_allclose(vendi(np.eye(9)), 9, rtol=1e-9)


def test_authpct():
    train, made = samples(50), samples(40, seed=1)
    authentic = []
    for y in made:
        i = min(range(len(train)), key=lambda j: distance(train[j], y))
        authentic.append(distance(train[i], y) > ball(train, 1)[i])
    np.testing.assert_allclose(authpct(train, made), 100 * np.mean(authentic), rtol=1e-12)
    assert authpct(train, train + 1e-6) == 0


def test_c_t():
    train, test, made = samples(300), samples(200, seed=1), samples(250, seed=2)
    near = [[min(distance(x, y) for x in train) for y in sample] for sample in (test, made)]
    n, m = len(made), len(test)
    u = mannwhitneyu(near[1], near[0]).statistic
    wanted = (u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)
    np.testing.assert_allclose(c_t(train, test, made, cells=1), wanted, rtol=1e-6)
    assert abs(c_t(train, test, made)) < 3
    assert c_t(train, test, train[:200] + 0.01 * samples(200, seed=3)) < -5
    assert c_t(train, test, samples(200, seed=4, scale=3)) > 5


def test_sliced_w2():
    """Of equal and of unequal numbers; of a shift, W₂² = |shift|²/d on the average over directions."""
    a, b = samples(30), samples(45, seed=1)
    found = sliced_w2(a, b, slices=50)
    np.testing.assert_allclose(
        sliced_w2(np.repeat(a, 3, 0), np.repeat(b, 2, 0), slices=50).value, found.value, rtol=1e-9
    )
    shift = np.array([1.0, 2.0, 0.0, -1.0])
    moved = sliced_w2(a, a + shift, slices=4000)
    assert abs(moved.value - np.sqrt(np.sum(shift**2) / 4)) < 4 * moved.standard_error
    assert sliced_w2(a, a).value < 1e-12


def test_the_mixture_of_the_likelihood_divergence():
    """Against scipy's densities, at widths that no small change improves."""
    centres, fitted, test = samples(5, 2, scale=2), samples(60, 2, 1, scale=2), samples(30, 2, 2, scale=2)

    def nll(variance, points):
        p = [sum(multivariate_normal.pdf(x, c, v) for c, v in zip(centres, variance, strict=True)) / 5 for x in points]
        return -np.mean(np.log(p)) / 2

    variance = np.full(5, 1.0)
    for _ in range(400):  # expectation maximisation, one point at a time
        gap = np.array([[np.sum((x - c) ** 2) for c in centres] for x in fitted])
        p = np.exp(-0.5 * gap / variance) / variance
        share = p / p.sum(axis=1, keepdims=True)
        variance = (share * gap).sum(axis=0) / (2 * share.sum(axis=0))
    best = nll(variance, fitted)
    for i, factor in itertools.product(range(5), (0.9, 1.1)):
        assert nll(np.where(np.arange(5) == i, factor * variance, variance), fitted) > best - 1e-9
    np.testing.assert_allclose(negative_log_likelihood(centres, fitted, test, 400), nll(variance, test), rtol=1e-6)


def test_the_likelihood_divergence_of_good_and_shifted_samples_of_half_the_modes_and_of_copies():
    def modes(n, seed):
        return np.concatenate([samples(n // 2, seed=seed, shift=-3), samples(n // 2, seed=seed + 100, shift=3)])

    train, test = modes(400, 1), modes(300, 2)
    good = fld(train, test, modes(200, 3))
    assert abs(good) < 3
    assert fld(train, test, modes(200, 3) + 2) > good + 5
    assert fld(train, test, samples(200, seed=3, shift=3)) > good + 5
    assert fld(train, test, train[:200] + 1e-4 * samples(200, seed=4)) > good + 5


def test_classifier_accuracy_is_that_of_the_best_rule():
    """Two Gaussians at distance 2: Φ(1) = 84 %, by a classifier that is linear; and W solves its equation."""
    draw = np.random.default_rng(0)
    y, test_y = draw.integers(0, 2, 2000), draw.integers(0, 2, 4000)
    x, test = (draw.normal(size=(len(labels), 3)) + np.outer(2 * labels, [1, 0, 0]) for labels in (y, test_y))
    found = classifier_accuracy(x, y, test, test_y)
    assert found.value == pytest.approx(norm.cdf(1), abs=3 * found.standard_error)
    assert found.standard_error == pytest.approx(np.sqrt(0.84 * 0.16 / 4000), rel=0.05)
    weights, bias = fitted(x, y, 2, 0.01)
    p = np.exp(log_softmax(x @ weights + bias, axis=1))
    np.testing.assert_allclose(x.T @ (p - np.eye(2)[y]) / 2000 + 0.01 * weights, 0, atol=1e-4)
    assert classifier_accuracy(x, 1 - y, test, test_y).value < 0.2
    with pytest.raises(ValueError, match="sample has 2000 features and 3 labels"):
        classifier_accuracy(x, y[:3], test, test_y)
