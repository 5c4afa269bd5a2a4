"""Analytic-DPM: its variance against quadrature, and the covariance of its samples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.samplers import Ancestral, grids, optimal_variance
from score_sde.samplers.chain_steps import chain_step
from score_sde.samplers.predictors import chain
from score_sde.sde.discrete import level_at

SDE = ss.VP()
MEANS, STDS, WEIGHTS = np.array([-1.2, 0.8]), np.array([0.2, 0.3]), np.array([0.4, 0.6])
TRUTH = ss.analytic.GaussianMixture(MEANS[:, None], STDS, WEIGHTS)
MODEL = TRUTH.denoiser(SDE)


def expected_variance(alpha: float, sigma: float) -> float:
    """E Var[x_0 | x_t] of the mixture, by quadrature over x_t."""
    x = np.linspace(-8, 8, 20_001)
    total = (alpha * STDS) ** 2 + sigma**2
    parts = WEIGHTS * np.exp(-((x[:, None] - alpha * MEANS) ** 2) / (2 * total)) / np.sqrt(2 * np.pi * total)
    shares = parts / parts.sum(1, keepdims=True)
    mean = MEANS + alpha * STDS**2 / total * (x[:, None] - alpha * MEANS)
    variance = STDS**2 * sigma**2 / total
    inside = (shares * (variance + mean**2)).sum(1) - (shares * mean).sum(1) ** 2
    return float(np.trapezoid(parts.sum(1) * inside, x))


def test_errors_are_the_expected_posterior_variance():
    x0 = TRUTH.sample(jax.random.key(0), 40_000)
    found = optimal_variance(MODEL, x0, jax.random.key(1), points=112)
    alpha_bar = SDE.discrete_alphas_cumprod()
    for k in (0, 100, 300, 500, 700, 999):
        alpha, sigma = np.sqrt(alpha_bar[k]), np.sqrt(1 - alpha_bar[k])
        assert found.errors[k] == pytest.approx(expected_variance(alpha, sigma), rel=0.05), k


def test_the_optimum_has_the_best_bound_by_what_quadrature_says():
    """Of −log p(x_s | x_t), ½ (log 2πv + (x_s − mean)²/v), summed over ten steps: the excess over the optimum's, by
    simulated pairs (x_s, x_t) and by quadrature; both fixed variances are worse.
    """
    x0 = TRUTH.sample(jax.random.key(0), 20_000)
    best = optimal_variance(MODEL, x0, jax.random.key(1))
    times = np.asarray(grids.respaced(SDE, 10))
    found, wanted = {"small": 0.0, "large": 0.0, "optimal": 0.0}, {"small": 0.0, "large": 0.0}
    for i, (t, s) in enumerate(itertools.pairwise(times)):
        step = chain_step(SDE, jnp.asarray(t), jnp.asarray(s))
        keys = jax.random.split(jax.random.fold_in(jax.random.key(2), i))
        x_s = SDE.discrete_alpha(s) * x0 + SDE.discrete_sigma(s) * jax.random.normal(keys[0], x0.shape)
        kept, G = chain(SDE, jnp.asarray(t), jnp.asarray(s))
        x_t = kept * x_s + G * jax.random.normal(keys[1], x0.shape)
        _, mean = best.step(MODEL, x_t, jnp.asarray(t), jnp.asarray(s), jnp.zeros_like(x_t))
        squared = float(jnp.mean((x_s - mean) ** 2))
        alpha, sigma = float(SDE.discrete_alpha(t)), float(SDE.discrete_sigma(t))
        true = float(step.small) + float(step.of_x0) ** 2 * expected_variance(alpha, sigma)
        k = int(level_at(jnp.asarray(t), 1000))
        variances = {"small": float(step.small), "large": float(step.large)}
        variances["optimal"] = float(step.small) + float(step.of_x0) ** 2 * best.errors[k]
        for name, v in variances.items():
            found[name] += (np.log(v) + squared / v - np.log(true) - 1) / 2
            if name in wanted:
                wanted[name] += (np.log(v) + true / v - np.log(true) - 1) / 2
    assert abs(found["optimal"]) < 0.02
    for name, excess in wanted.items():
        assert excess > 0.05, name
        assert found[name] == pytest.approx(excess, rel=0.05, abs=0.02), name


def test_covariance_of_samples_nears_the_datas():
    """At 10, 25 and 50 steps its error falls, at last to the noise of the draw; the small variance's stays larger."""
    best = optimal_variance(MODEL, TRUTH.sample(jax.random.key(0), 20_000), jax.random.key(1), points=112)
    true = float(WEIGHTS @ (STDS**2 + MEANS**2) - (WEIGHTS @ MEANS) ** 2)

    def error(predictor, steps):
        out = ss.samplers.predictor_corrector(
            MODEL, jax.random.key(2), 20_000, (1,), predictor=predictor, time_grid=grids.respaced(SDE, steps)
        )
        return abs(float(jnp.var(out.x)) - true)

    errors = [error(best, steps) for steps in (10, 25, 50)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02
    assert error(Ancestral("posterior"), 25) > 2 * errors[1]
