"""Exact posteriors: against the reference problems G and M, against Bayes' rule on a grid, and against themselves."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import score_sde as ss

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "posterior"
MIXTURE = ss.analytic.GaussianMixture([[1.0, -0.5, 0.2], [-0.5, 0.8, 0.0], [0.0, 0.0, -1.0]], [0.3, 0.2, 0.5])
A, STD = np.array([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]]), 0.4
GIVEN = MIXTURE.given(A, STD)
Y = np.array([[0.3, -0.8], [1.2, 0.4]])


@pytest.mark.parametrize("name", ["G", "M"])
def test_the_reference_problems(name, x64):
    if not REFERENCE.exists():
        pytest.skip("the reference data (../shared/reference beside the repository) are not on this machine")
    with np.load(REFERENCE / f"{name}.npz") as problem:
        prior = ss.analytic.FullMixture(problem["means"], problem["covariances"], problem["weights"])
        given = ss.analytic.Given(prior, problem["A"], float(problem["std"]))
        for y, mean, covariance in zip(
            problem["y"], problem["posterior_means"], problem["posterior_covariances"], strict=True
        ):
            posterior = given.posterior(y)
            np.testing.assert_allclose(posterior.mean, mean, atol=1e-12)
            np.testing.assert_allclose(posterior.covariance, covariance, atol=1e-12)


def test_bayes_rule():
    """p(x | y) p(y) = p(y | x) p(x), at any x."""
    x = MIXTURE.sample(jax.random.key(0), 6)
    for y in Y:
        likelihood = [multivariate_normal.logpdf(y, A @ np.asarray(each), STD**2 * np.eye(2)) for each in x]
        joint = MIXTURE.log_prob(x) + np.array(likelihood)
        ours = GIVEN.posterior(y).log_prob(x) + GIVEN.log_evidence(y[None])
        np.testing.assert_allclose(ours, joint, rtol=1e-4, atol=1e-4)


def test_the_evidence_is_a_density_and_that_of_the_joint_draws():
    grid = np.linspace(-9, 9, 181)
    y = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    p = np.exp(np.asarray(GIVEN.log_evidence(y), np.float64))
    cell = (grid[1] - grid[0]) ** 2
    assert p.sum() * cell == pytest.approx(1, abs=2e-3)
    x, drawn = GIVEN.sample(jax.random.key(0), 20_000)
    np.testing.assert_allclose(drawn.mean(0), (p[:, None] * y).sum(0) * cell, atol=0.05)
    np.testing.assert_allclose(np.std(drawn - x @ A.T, axis=0), STD, rtol=0.02)


def test_the_conditional_denoiser_is_that_of_each_posterior(sde):
    """One object for a batch of measurements, at every noise level."""
    model = GIVEN.denoiser(sde)
    x = jax.random.normal(jax.random.key(1), (2, 3))
    for t in (0.1 * sde.t_max, 0.6 * sde.t_max):
        both = model.predict(x, t, {"y": Y})
        for i, y in enumerate(Y):
            alone = GIVEN.posterior(y).denoiser(sde).predict(x[i : i + 1], t)
            for ours, wanted in zip(both, alone, strict=True):
                np.testing.assert_allclose(ours[i], wanted[0], rtol=1e-4, atol=1e-4)
        v = jax.random.normal(jax.random.key(2), x.shape)
        covariance = model.posterior(x, t, {"y": Y})[1](v)
        alone = GIVEN.posterior(Y[1]).denoiser(sde).posterior(x[1:], t)[1](v[1:])
        np.testing.assert_allclose(covariance[1], alone[0], rtol=1e-3, atol=1e-4)


def test_a_function_of_images_is_as_good_as_its_matrix():
    means = jax.random.normal(jax.random.key(0), (2, 2, 3, 1))
    images = ss.analytic.GaussianMixture(means, [0.5, 0.2])
    flat = ss.analytic.GaussianMixture(means.reshape(2, 6), [0.5, 0.2])
    rows = np.zeros((2, 6))
    rows[0, :3], rows[1, 3:] = 1 / 3, 1 / 3
    y = np.array([0.2, -0.1])
    one = images.posterior(lambda x: x.mean(axis=(2, 3)), y, 0.1)
    other = flat.posterior(rows, y, 0.1)
    np.testing.assert_allclose(one.mean.reshape(-1), other.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-3, atol=1e-5)
    gaussian = ss.analytic.Gaussian(means[0], factors=means, std=0.3)
    covariance = np.asarray(gaussian.covariance, np.float64)
    gain = covariance @ rows.T @ np.linalg.inv(rows @ covariance @ rows.T + 0.01 * np.eye(2))
    mean = np.asarray(means[0], np.float64).reshape(-1)
    posterior = gaussian.posterior(rows, y, 0.1)
    np.testing.assert_allclose(posterior.mean.reshape(-1), mean + gain @ (y - rows @ mean), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MIXTURE.given(np.eye(2), 0.1), r"A has shape \(2, 2\); allowed: \(m, 3\)"),
        (lambda: MIXTURE.given(A, 0.0), r"std = 0.0; it must be above 0"),
        (lambda: GIVEN.log_evidence(np.zeros((4, 3))), r"y has shape \(4, 3\); allowed: \(batch, 2\)"),
        (lambda: GIVEN.denoiser(ss.VP()).denoise(jnp.ones((1, 3)), 0.5), r'condition=\{"y": y\}'),
        (lambda: ss.analytic.FullMixture(np.zeros((2, 3)), np.zeros((2, 2, 2))), r"means \(2, 3\) need \(2, 3, 3\)"),
        (lambda: ss.analytic.FullMixture(np.zeros((1, 2)), [[[1, 2], [2, 1]]]), "negative eigenvalue -1"),
        (lambda: ss.analytic.FullMixture(np.zeros((2, 1)), np.ones((2, 1, 1)), [0.2, 0.2]), "weights sum to 0.4"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
