"""Methods that correct steps, that alternate, and particles: their laws on G and M, within what was published."""

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


class TestParticles:
    @pytest.mark.parametrize("name", ["G", "M"])
    def test_their_law_and_evidence(self, name):
        problem = Problem(name)
        truth = np.asarray(problem.given.log_evidence(problem.y))
        for i in (1, 2):
            out = inverse.particles(
                problem.model,
                jax.random.key(i),
                1,
                (8,),
                problem.likelihood,
                condition=problem.told(i, 1),
                particles=1024,
            )
            x = out.resampled(jax.random.key(9)).reshape(-1, 8)
            mean, covariance, w2 = problem.law_error(x, i)
            assert mean < 0.12
            assert covariance < 0.25
            assert w2 < 0.2
            assert abs(float(out.log_evidence[0]) - truth[i]) < 0.2
            assert float(out.ess.min()) > 100
            assert not bool(out.collapsed[0])
            assert int(out.failed_at[0]) == -1

    def test_any_twist_gives_the_same_evidence(self):
        """On an easy measurement, a bad twist as well as the best."""
        problem = Problem("M")
        twists = (
            inverse.Noise(problem.likelihood),
            inverse.Moments(problem.likelihood, inverse.Tweedie()),
            inverse.Unsteered(problem.likelihood),
        )
        found = [
            inverse.particles(
                problem.model,
                jax.random.key(0),
                2,
                (8,),
                twist=twist,
                condition=problem.told(1, 2),
                particles=512,
                steps=100,
            )
            for twist in twists
        ]
        truth = float(problem.given.log_evidence(problem.y[1:2])[0])
        for out in found:
            assert abs(float(out.log_evidence.mean()) - truth) < 0.3

    def test_a_group_depends_on_its_key_index_and_size_alone(self):
        problem = Problem("M")
        both, alone = (
            inverse.particles(
                problem.model,
                jax.random.key(0),
                n,
                (8,),
                problem.likelihood,
                condition=problem.told(0, n),
                particles=16,
                steps=10,
                start=start,
            )
            for n, start in ((3, 0), (1, 2))
        )
        np.testing.assert_allclose(both.x[2], alone.x[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(both.log_weights[2], alone.log_weights[0], atol=1e-3)

    def test_systematic_resampling_counts_are_the_weights_rounded(self):
        weights = jnp.array([0.5, 0.26, 0.2, 0.04])
        for seed in range(20):
            chosen = inverse.systematic(jax.random.key(seed), jnp.log(weights))
            counts = np.bincount(np.asarray(chosen), minlength=4)
            assert (np.abs(counts - 4 * np.asarray(weights)) < 1).all()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"particles": 1}, "particles = 1; allowed: 2 or more"),
            ({"threshold": 2.0}, "threshold = 2.0; allowed: 0"),
            ({"likelihood": None}, "give a likelihood, or a twist"),
            ({"condition": {"y": jnp.ones((3, 2))}}, r'condition\["y"\] has 3 measurements for n = 2 groups'),
        ],
    )
    def test_bad_input_is_named(self, options, words):
        problem = Problem("M")
        given = {"likelihood": problem.likelihood, "condition": problem.told(0, 2), **options}
        with pytest.raises(ValueError, match=words):
            inverse.particles(problem.model, jax.random.key(0), 2, (8,), **given)
