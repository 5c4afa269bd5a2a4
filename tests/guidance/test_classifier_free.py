"""Guidance by its closed form: of exact conditionals of a mixture, p(x) (p(x | y)/p(x))^w at each time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.checks import per_sample
from score_sde.denoiser import Denoiser

MEANS, STDS, WEIGHTS = (
    np.array([[1.0, 0.5], [-1.0, 0.3], [0.2, -1.2]]),
    np.array([0.3, 0.2, 0.4]),
    np.array([0.3, 0.3, 0.4]),
)
TRUTH = ss.analytic.GaussianMixture(MEANS, STDS, WEIGHTS)
PARTS = [ss.analytic.GaussianMixture(MEANS[k : k + 1], STDS[k : k + 1], np.ones(1)) for k in range(3)]
NULL = {"label": 3}


class Conditional(Denoiser):
    """The exact denoiser of component ``label``, or of the whole mixture for label 3."""

    def predict(self, x, t, condition=None):
        every = [part.denoiser(self.sde).predict(x, t) for part in (*PARTS, TRUTH)]
        label = condition["label"]
        return tuple(
            sum(jnp.where(per_sample(label == k, x), each[i], 0.0) for k, each in enumerate(every)) for i in (0, 1)
        )


def test_the_guided_score_is_that_of_the_tilted_density(sde):
    x = jax.random.normal(jax.random.key(0), (32, 2))
    label = jnp.arange(32) % 3
    t = 0.3 * sde.t_max
    guided = ss.guidance.classifier_free(Conditional(sde), 2.5, null=NULL)

    def tilted(x, k):
        whole = TRUTH.log_prob(x[None], sde=sde, t=t)[0]
        parts = jnp.stack([part.log_prob(x[None], sde=sde, t=t)[0] for part in PARTS])
        return whole + 2.5 * (parts[k] - whole)

    exact = jax.vmap(jax.grad(tilted))(x, label)
    np.testing.assert_allclose(guided.score(x, t, {"label": label}), exact, rtol=2e-3, atol=2e-3)


def test_scales_of_zero_and_one_and_the_interval():
    sde = ss.VP()
    model, x = Conditional(sde), jax.random.normal(jax.random.key(0), (6, 2))
    condition, nothing = {"label": jnp.arange(6) % 3}, {"label": jnp.full(6, 3)}
    t = jnp.array([0.05, 0.2, 0.4, 0.6, 0.8, 1.0])
    at = lambda scale, **options: ss.guidance.classifier_free(model, scale, null=NULL, **options).noise(x, t, condition)  # noqa: E731
    np.testing.assert_allclose(at(0.0), model.noise(x, t, nothing), atol=1e-6)
    np.testing.assert_allclose(at(1.0), model.noise(x, t, condition), atol=1e-6)
    ratio = sde.sigma(t) / sde.alpha(t)
    low, high = float(ratio[1]), float(ratio[3])
    inside = np.array([False, False, True, True, False, False])[:, None]
    expected = np.where(inside, at(3.0), model.noise(x, t, condition))
    np.testing.assert_allclose(at(3.0, interval=(low, high)), expected, atol=1e-6)


def test_guided_samples_follow_the_guided_flow():
    """w = 1 gives the conditional distribution; a larger w moves the mean away from the other components."""
    sde = ss.VP()
    n = 2000
    condition = {"label": jnp.zeros(n, int)}
    means = []
    for scale in (1.0, 3.0):
        guided = ss.guidance.classifier_free(Conditional(sde), scale, null=NULL)
        out = ss.samplers.dpm_solver(guided, jax.random.key(0), n, (2,), steps=20, condition=condition)
        means.append(np.asarray(out.x.mean(axis=0)))
        assert out.nfe[0] == 2 * out.calls  # with and without the label
    np.testing.assert_allclose(means[0], MEANS[0], atol=4 * 0.3 / np.sqrt(n) + 0.01)
    others = (MEANS[1] * 0.3 + MEANS[2] * 0.4) / 0.7
    away = (MEANS[0] - others) / np.linalg.norm(MEANS[0] - others)
    assert (means[1] - means[0]) @ away > 0.05


class Moved(Conditional):
    """The same, of data moved by the leaf ``shift``."""

    def predict(self, x, t, condition=None):
        shift = condition["shift"]
        x0, noise = super().predict(x - per_sample(self.sde.alpha(t), x) * shift, t, condition)
        return x0 + shift, noise


@pytest.mark.parametrize("sampler", ["dpm_solver", "ode", "adaptive_sde"])
def test_leaves_that_null_does_not_name_are_told_in_both_halves(sampler):
    model = ss.guidance.classifier_free(Moved(ss.VP()), 1.0, null=NULL)
    n, shift = 1000, jnp.array([0.5, -0.25])
    condition = {"label": jnp.ones(n, int), "shift": jnp.broadcast_to(shift, (n, 2))}
    out = getattr(ss.samplers, sampler)(model, jax.random.key(0), n, (2,), condition=condition)
    np.testing.assert_allclose(out.x.mean(axis=0), MEANS[1] + shift, atol=4 * 0.2 / np.sqrt(n) + 0.02)
    assert int(out.nfe.max()) == 2 * int(out.calls)


def test_the_likelihood_takes_a_guided_model():
    model, shift = ss.guidance.classifier_free(Moved(ss.VP()), 1.0, null=NULL), jnp.array([0.5, -0.25])
    x = PARTS[2].sample(jax.random.key(1), 8)
    condition = {"label": jnp.full(8, 2), "shift": jnp.broadcast_to(shift, (8, 2))}
    ll = ss.log_likelihood(model, x + shift, jax.random.key(2), condition, divergence="exact", rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ll.log_prob, PARTS[2].log_prob(x), atol=0.03)


def test_it_is_a_pytree_whose_scale_can_be_traced():
    model = ss.guidance.classifier_free(Conditional(ss.VP()), 2.0, null=NULL)
    x, condition = jnp.ones((2, 2)), {"label": jnp.zeros(2, int)}
    grad = jax.grad(lambda m: jnp.sum(m.noise(x, 0.5, condition)), allow_int=True)(model)
    assert np.isfinite(grad.scale)
    assert grad.scale != 0


def test_bad_input():
    model = Conditional(ss.VP())
    with pytest.raises(ValueError, match=r"interval = \(2, 1\); it must be"):
        ss.guidance.classifier_free(model, 2.0, null=NULL, interval=(2, 1))
    with pytest.raises(ValueError, match="a guided model needs a condition"):
        ss.guidance.classifier_free(model, 2.0, null=NULL).noise(jnp.ones((2, 2)), 0.5)
