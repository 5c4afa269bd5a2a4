"""Particles: their law and evidence on the problems with known posteriors, and what they say when they fail."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from tests.inverse.problems import SDE, Problem

inverse = ss.inverse
K, GROUPS = 1024, 2


def moments(problem) -> inverse.Moments:
    return inverse.Moments(problem.likelihood, inverse.Tweedie())


def run(problem, i, groups=GROUPS, *, seed=0, twist=None, particles=K, steps=200, **options):
    """Groups of particles for the i-th measurement; one compiled program for equal sizes."""
    chosen = moments(problem) if twist is None else twist
    key, told = jax.random.key(seed), problem.told(i, groups)
    return inverse.particles(
        problem.model, key, groups, (8,), twist=chosen, condition=told, particles=particles, steps=steps, **options
    )


def evidence_errors(problem, out, i) -> np.ndarray:
    return np.asarray(out.log_evidence) - float(problem.given.log_evidence(problem.y[i : i + 1])[0])


def weights_error(problem, out, i) -> float:
    """Total variation between the components' weights among all particles, and in the posterior."""
    posterior = problem.given.posterior(problem.y[i])
    x = out.x.reshape(-1, 8)
    r = posterior.components(x, jnp.ones(len(x)), jnp.zeros(len(x))).r
    found = np.exp(np.asarray(out.log_weights)).ravel() @ np.asarray(r) / len(out.x)
    return 0.5 * float(np.abs(found - np.asarray(posterior.weights)).sum())


def law_errors(problem, out, i) -> np.ndarray:
    """(covariance, sliced W2 beyond that between exact draws), the mean over the groups."""
    draws = out.resampled(jax.random.key(9))
    posterior = problem.given.posterior(problem.y[i])
    mine = [problem.law_error(x, i)[1:] for x in draws]
    floor = [problem.law_error(posterior.sample(jax.random.key(50 + g), K), i)[2] for g in range(len(draws))]
    return np.mean(mine, axis=0) - [0.0, np.mean(floor)]


class TestLaw:
    def test_a_mixture_is_met(self):
        """The posterior of this measurement has weight on several components, which no Gaussian twist knows."""
        problem, i = Problem("M"), 0
        assert float(problem.given.posterior(problem.y[i]).weights.max()) < 0.7
        out = run(problem, i, 4)
        covariance, w2 = law_errors(problem, out, i)
        assert covariance < 0.15
        assert w2 < 0.05
        assert weights_error(problem, out, i) < 0.03
        assert np.abs(evidence_errors(problem, out, i)).max() < 0.2
        assert float(out.ess.min()) > 100
        assert not out.collapsed.any()
        assert (out.failed_at == -1).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("twist", ["moments", "noise"])
    def test_every_measurement_of_the_mixture_is_met(self, twist):
        """The bounds are on the mean over two groups and four y: one group of 1024 has its own chance."""
        problem = Problem("M")
        chosen = {"moments": moments(problem), "noise": inverse.Noise(problem.likelihood)}[twist]
        errors = []
        for i in range(len(problem.y)):
            out = run(problem, i, twist=chosen)
            errors.append([*law_errors(problem, out, i), weights_error(problem, out, i)])
            assert np.abs(evidence_errors(problem, out, i)).max() < 0.2
        covariance, w2, weights = np.mean(errors, axis=0)
        assert covariance < 0.15
        assert w2 < 0.05
        assert weights < 0.03


class TestEvidence:
    def test_its_error_falls_like_one_over_the_steps_and_less_with_the_datas_variance(self):
        """On G's first measurement, where the ancestral kernel errs most; chance is .01 here."""
        problem = Problem("G")
        errors = {n: evidence_errors(problem, run(problem, 0, steps=n), 0).mean() for n in (50, 100)}
        assert errors[50] == pytest.approx(-1.05, abs=0.15)  # that of the kernel, whatever the twist
        assert errors[50] / errors[100] == pytest.approx(2.0, rel=0.15)
        kept = evidence_errors(problem, run(problem, 0, steps=100, v=0.1), 0).mean()
        assert abs(kept) < 0.5 * abs(errors[100])

    def test_with_the_datas_own_variance_the_chain_is_exact_for_an_isotropic_gaussian(self):
        """In twenty steps: only chance is left."""
        prior = ss.analytic.GaussianMixture(np.ones((1, 3)), [0.5])
        given, A = prior.given(np.eye(3)[:2], 0.2), inverse.Matrix(np.eye(3)[:2])
        twist = inverse.Moments(inverse.GaussianLikelihood(A, 0.2), inverse.Tweedie())
        y = jnp.array([[1.4, 0.2]])
        errors = []
        for v in (0.0, 0.25):
            out = inverse.particles(
                prior.denoiser(SDE), jax.random.key(0), 1, (3,), twist=twist, condition={"y": y}, particles=512,
                steps=20, v=v,
            )  # fmt: skip
            errors.append(abs(float(out.log_evidence[0] - given.log_evidence(y)[0])))
        assert errors[0] > 0.2
        assert errors[1] < 0.05

    def test_any_twist_gives_the_same(self):
        """On an easy measurement, a bad twist as well as the best."""
        problem = Problem("M")
        for twist in (inverse.Noise(problem.likelihood), inverse.Unsteered(problem.likelihood)):
            out = run(problem, 1, 2, twist=twist, particles=512, steps=40)
            assert abs(evidence_errors(problem, out, 1).mean()) < 0.3

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["G", "M"])
    def test_it_is_within_a_fifth_at_200_steps(self, name):
        """On G the default v = 0 is at −.24 for the first y, and within for the others."""
        problem = Problem(name)
        for i in range(len(problem.y)):
            assert np.abs(evidence_errors(problem, run(problem, i, v=0.1), i)).max() < 0.2


def small(problem, i=0, **options):
    """Two groups of 64 in twenty steps: one compiled program."""
    return run(problem, i, 2, particles=64, steps=20, **options)


class TestEffectiveNumber:
    def test_resampling_keeps_it_high(self):
        problem = Problem("M")
        never, always = (np.asarray(small(problem, threshold=threshold).ess) for threshold in (0.0, 1.0))
        assert never.shape == (2, 20)
        assert (never[:, -1] < never[:, 0]).all()
        assert ((never >= 1 - 1e-3) & (never <= 64 + 1e-2)).all()
        assert always[:, -1].mean() > 1.5 * never[:, -1].mean()

    def test_weights_are_normalised(self):
        out = small(Problem("M"))
        np.testing.assert_allclose(jnp.exp(out.log_weights).sum(axis=1), 1.0, rtol=1e-5)

    def test_weights_that_collapse_are_flagged_in_their_group_alone(self):
        out = small(Problem("M"))
        one = out.log_weights.at[0].set(jnp.where(jnp.arange(64) == 3, 0.0, -20.0))
        assert dataclasses.replace(out, log_weights=one).collapsed.tolist() == [True, False]

    def test_unsteered_particles_collapse_where_hardly_one_meets_the_measurement(self):
        problem = Problem("M")
        sharp = inverse.GaussianLikelihood(problem.A, 0.001)
        assert small(problem, twist=inverse.Unsteered(sharp)).collapsed.all()

    def test_weights_that_vanish_are_a_failure_at_their_step(self):
        problem = Problem("M")
        y = problem.told(1, 2)["y"].at[0].set(jnp.inf)
        out = inverse.particles(
            problem.model, jax.random.key(0), 2, (8,), twist=moments(problem), condition={"y": y}, particles=64,
            steps=20,
        )  # fmt: skip
        assert out.failed_at.tolist() == [0, -1]
        assert np.isfinite(out.x[1]).all()


def test_a_group_depends_on_its_key_index_and_size_alone():
    problem = Problem("M")
    here, shifted = small(problem), small(problem, start=1)
    np.testing.assert_allclose(here.x[1], shifted.x[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(here.log_evidence[1], shifted.log_evidence[0], atol=1e-3)
    assert np.abs(np.asarray(here.x[0] - shifted.x[0])).max() > 1e-2
    alone = run(problem, 0, 1, particles=64, steps=20)
    np.testing.assert_allclose(here.x[0], alone.x[0], rtol=1e-4, atol=1e-4)


def test_systematic_resampling_counts_are_the_weights_rounded():
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
        ({"v": -1.0}, "v = -1.0; allowed: 0"),
        ({"likelihood": None}, "give a likelihood, or a twist"),
        ({"condition": {"y": jnp.ones((3, 2))}}, r'condition\["y"\] has 3 measurements for n = 2 groups'),
    ],
)
def test_bad_input_is_named(options, words):
    problem = Problem("M")
    given = {"likelihood": problem.likelihood, "condition": problem.told(0, 2), **options}
    with pytest.raises(ValueError, match=words):
        inverse.particles(problem.model, jax.random.key(0), 2, (8,), **given)
