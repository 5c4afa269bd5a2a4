"""Simulation-based calibration (Talts et al. 2018): the rank of f(x_0) among f(draws of p(x | y)) is uniform for x_0 ~ p(x)
and y ~ p(y | x_0), for every f. Fixed seeds; all measurements in one call.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import score_sde as ss
from tests.inverse.problems import Problem

inverse = ss.inverse
DRAWS, BINS = 31, 8


def ranks(problem, x0, y, draws) -> dict[str, np.ndarray]:
    """(n, .) ranks 0 … DRAWS of coordinates, of log p(x | y) up to a constant of y, and of ‖y − A x‖²."""
    every = jnp.concatenate([x0[:, None], draws], axis=1)
    flat, many = every.reshape(-1, 8), jnp.repeat(y, DRAWS + 1, axis=0)
    log_p = problem.prior.log_prob(flat) + problem.likelihood.log_prob(many, flat)
    residual = jnp.sum(problem.likelihood.residual(many, flat) ** 2, axis=1)
    values = {"coordinates": every, "log p": log_p.reshape(-1, DRAWS + 1, 1)}
    values["residual"] = residual.reshape(-1, DRAWS + 1, 1)
    return {name: np.asarray(jnp.sum(v[:, 1:] < v[:, :1], axis=1)) for name, v in values.items()}


def p_values(problem, sampler, problems: int) -> dict[str, float]:
    """χ² of uniform ranks; of coordinates, the least of eight times eight (Bonferroni)."""
    x0, y = problem.given.sample(jax.random.key(42), problems)
    draws = sampler(problem, jax.random.key(7), y).reshape(problems, DRAWS, 8)
    found = {}
    for name, columns in ranks(problem, x0, y, draws).items():
        counts = [np.bincount(r * BINS // (DRAWS + 1), minlength=BINS) for r in columns.T]
        found[name] = min(1.0, len(counts) * min(float(stats.chisquare(c).pvalue) for c in counts))
    return found


def exact(problem, key, y):
    told = {"y": jnp.repeat(y, DRAWS, axis=0)}
    return ss.samplers.dpm_solver(problem.exact, key, DRAWS * len(y), (8,), steps=20, condition=told).x


def smc(problem, key, y):
    """DRAWS of 64 particles, in any order: resampling leaves copies side by side."""
    twist = inverse.Moments(problem.likelihood, inverse.Tweedie())
    out = inverse.particles(
        problem.model, key, len(y), (8,), twist=twist, condition={"y": y}, particles=64, steps=40, v=0.1
    )
    order = jax.random.permutation(jax.random.key(3), 64)[:DRAWS]
    return out.resampled(jax.random.key(2))[:, order]


def mmps(problem, key, y):
    told = {"y": jnp.repeat(y, DRAWS, axis=0)}
    model = inverse.mmps(problem.model, problem.A, problem.std, solver=inverse.CG(2))
    return ss.samplers.dpm_solver(model, key, DRAWS * len(y), (8,), steps=20, condition=told).x


def dps(problem, key, y):
    n, told = DRAWS * len(y), {"y": jnp.repeat(y, DRAWS, axis=0)}
    return inverse.dps(problem.model, key, n, (8,), problem.likelihood, condition=told, steps=100).x


@pytest.mark.parametrize("sampler", [exact, smc])
def test_ranks_are_uniform(sampler):
    for function, p in p_values(Problem("M"), sampler, 128).items():
        assert p > 0.01, function


def test_ranks_of_dps_are_not():
    found = p_values(Problem("M"), dps, 128)
    assert min(found.values()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["G", "M"])
@pytest.mark.parametrize("sampler", [exact, smc])
def test_ranks_are_uniform_over_many_measurements(sampler, name):
    for function, p in p_values(Problem(name), sampler, 512).items():
        assert p > 0.01, function


@pytest.mark.slow
def test_many_measurements_tell_moment_matching_from_exact():
    """It is right to second order in each step, but not on a mixture."""
    assert min(p_values(Problem("M"), mmps, 512).values()) < 0.01
