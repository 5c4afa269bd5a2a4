"""Classifier guidance by its closed form: the exact classifier of a mixture's components, and the tilted density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.guidance import NoisyClassifier
from tests.guidance.test_classifier_free import MEANS, PARTS, TRUTH, WEIGHTS

LABEL = jnp.arange(32) % 3


class Exact(NoisyClassifier):
    """p(y | x_t) of the mixture, by Bayes."""

    def logits(self, x, t, condition=None):
        logs = jnp.stack([part.log_prob(x, sde=self.sde, t=t) for part in PARTS], axis=1)
        return logs + jnp.log(WEIGHTS)


def test_the_classifier_is_normalised(sde):
    t, x = 0.3 * sde.t_max, jax.random.normal(jax.random.key(0), (32, 2))
    logs = jnp.stack([Exact(sde).log_prob(x, t, jnp.full(32, k)) for k in range(3)])
    np.testing.assert_allclose(jnp.sum(jnp.exp(logs), axis=0), 1.0, rtol=1e-5)


@pytest.mark.parametrize("part", [0.1, 0.5])
def test_scale_one_is_the_exact_conditional(sde, part):
    t, x = part * sde.t_max, jax.random.normal(jax.random.key(0), (32, 2))
    guided = ss.guidance.classifier(TRUTH.denoiser(sde), Exact(sde), 1.0)
    found = guided.predict(x, t, {"label": LABEL})
    every = [each.denoiser(sde).predict(x, t) for each in PARTS]
    for k in range(3):
        for mine, theirs in zip(found, every[k], strict=True):
            np.testing.assert_allclose(mine[k == LABEL], theirs[k == LABEL], rtol=2e-3, atol=2e-3)


def test_other_scales_tilt_the_density():
    sde, t = ss.VP(), 0.3
    x = jax.random.normal(jax.random.key(0), (32, 2))
    guided = ss.guidance.classifier(TRUTH.denoiser(sde), Exact(sde), 2.5)

    def tilted(x, k):
        parts = jnp.stack([part.log_prob(x[None], sde=sde, t=t)[0] for part in PARTS])
        whole = TRUTH.log_prob(x[None], sde=sde, t=t)[0]
        return whole + 2.5 * (parts[k] - whole)

    np.testing.assert_allclose(guided.score(x, t, {"label": LABEL}), jax.vmap(jax.grad(tilted))(x, LABEL), atol=2e-3)


def test_samples_and_likelihood_are_those_of_the_component():
    sde = ss.VP()
    guided = ss.guidance.classifier(TRUTH.denoiser(sde), Exact(sde), 1.0)
    out = ss.samplers.dpm_solver(
        guided, jax.random.key(1), 2000, (2,), steps=20, condition={"label": jnp.ones(2000, int)}
    )
    np.testing.assert_allclose(out.x.mean(axis=0), MEANS[1], atol=0.02)
    x = PARTS[2].sample(jax.random.key(2), 8)
    condition = {"label": jnp.full(8, 2)}
    ll = ss.log_likelihood(guided, x, jax.random.key(3), condition, divergence="exact", rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ll.log_prob, PARTS[2].log_prob(x), atol=0.03)


def test_it_costs_a_pass_and_a_pullback_more():
    guided = ss.guidance.classifier(TRUTH.denoiser(ss.VP()), Exact(ss.VP()), 1.0)
    out = ss.samplers.ddim(guided, jax.random.key(0), 2, (2,), steps=5, condition={"label": jnp.zeros(2, int)})
    calls = int(out.calls)
    assert out.nfe.tolist() == [2 * calls] * 2
    assert out.pullbacks.tolist() == [calls] * 2


def test_the_other_leaves_go_to_the_model():
    def seen(x, t, condition):
        told.append(condition)
        return x

    told: list = []
    model = ss.FunctionDenoiser(ss.VP(), seen, predicts="data")
    condition, x = {"label": jnp.zeros(3, int), "other": jnp.ones(3)}, jnp.zeros((3, 2))
    for keep, names in ((False, {"other"}), (True, {"label", "other"})):
        ss.guidance.classifier(model, Exact(ss.VP()), keep=keep).denoise(x, 0.5, condition)
        assert set(told[-1]) == names
    ss.guidance.classifier(model, Exact(ss.VP())).denoise(x, 0.5, {"label": jnp.zeros(3, int)})
    assert told[-1] is None


def test_bad_input():
    sde, x = ss.VP(), jnp.zeros((3, 2))
    guided = ss.guidance.classifier(TRUTH.denoiser(sde), Exact(sde))
    with pytest.raises(ValueError, match=r"condition\['label'\].*has 'other'"):
        guided.denoise(x, 0.5, {"other": x})
    with pytest.raises(ValueError, match="trained under VE, the model under VP"):
        ss.guidance.classifier(TRUTH.denoiser(sde), Exact(ss.VE()))
