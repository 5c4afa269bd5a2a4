"""Methods that correct steps, and that alternate: their laws on G and M, within what was published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from tests.inverse.problems import SDE, Problem

inverse = ss.inverse
N = 512
GRID = np.minimum(np.asarray(SDE.time_of_log_snr(jnp.linspace(float(SDE.log_snr(1.0)), 13.7, 201))), 1.0)


def drawn(problem, sampler, i, **options):
    key = jax.random.key(i)
    return sampler(problem.model, key, N, (8,), problem.likelihood, condition=problem.told(i, N), **options)


def error(problem, sampler, **options):
    """(mean, covariance, sliced W2), the mean over two measurements."""
    return np.mean([problem.law_error(drawn(problem, sampler, i, **options).x, i) for i in (0, 1)], axis=0)


def test_replacement_is_biased_and_resampling_helps_on_a_gaussian():
    problem = Problem("G")
    plain = error(problem, inverse.replacement, time_grid=GRID)
    again = error(problem, inverse.replacement, time_grid=GRID, resamplings=10)
    assert 0.25 < plain[0] < 0.5  # published: .38
    assert again[0] < 0.4 * plain[0]  # .09
    assert again[2] < 0.25


def test_dps_is_biased_by_its_scale_and_counts_one_pullback_a_step():
    problem = Problem("G")
    out = drawn(problem, inverse.dps, 0, time_grid=GRID)
    steps = len(GRID) - 1
    assert int(out.nfe[0]) == steps + 1
    assert int(out.pullbacks[0]) == steps + 1
    assert 0.1 < problem.law_error(out.x, 0)[2] < 0.7


def test_ddrm_and_its_relatives():
    problem = Problem("G")
    assert 0.05 < error(problem, inverse.ddrm, time_grid=GRID)[2] < 0.35
    sharp = problem.law_error(drawn(problem, inverse.ddrm, 0, time_grid=GRID, eta=1.0).x, 0)
    assert np.isfinite(sharp).all()


def test_a_corrected_sample_does_not_depend_on_its_neighbours():
    problem = Problem("M")
    for sampler in (inverse.dps, inverse.replacement, inverse.ddrm):
        both, alone = (
            sampler(
                problem.model, jax.random.key(0), n, (8,), problem.likelihood, condition=problem.told(0, n), steps=8
            ).x
            for n in (3, 1)
        )
        np.testing.assert_allclose(both[0], alone[0], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_alternating_methods_have_the_published_bias():
    problem = Problem("G")
    daps = error(problem, inverse.daps, steps=100, ode_steps=8)
    assert 0.6 < daps[1] < 1.2  # published: .98
    assert error(problem, inverse.pnp_dm, sweeps=100)[2] < 0.3  # .13
