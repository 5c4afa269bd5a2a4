"""The log-likelihood as something to differentiate: against finite differences, and as a loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import score_sde as ss


def test_gradient_in_x_is_the_score(x64):
    truth = ss.analytic.GaussianMixture(np.array([[1.0, 0.5], [-1.0, 0.3]]), np.array([0.3, 0.2]))
    sde = ss.VP()
    model, x = truth.denoiser(sde), truth.sample(jax.random.key(0), 4)

    def total(x):
        ll = ss.log_likelihood(model, x, jax.random.key(1), divergence="exact", rtol=1e-8, atol=1e-8)
        return jnp.sum(ll.log_prob - ll.prior_mismatch(truth))

    np.testing.assert_allclose(jax.grad(total)(x), model.score(x, sde.t_min), atol=1e-5)


@pytest.mark.slow
def test_gradient_in_parameters_is_the_difference_quotient(x64):
    def log_prob(mean):
        truth = ss.analytic.GaussianMixture(mean[None], np.array([0.4]))
        x = jnp.array([[0.3, -0.2], [0.9, 0.1]])
        return jnp.sum(ss.log_likelihood(truth.denoiser(ss.VP()), x, jax.random.key(1), rtol=1e-8, atol=1e-8).log_prob)

    mean, h = jnp.array([0.5, -0.1]), 1e-4
    quotient = [(log_prob(mean + h * e) - log_prob(mean - h * e)) / (2 * h) for e in jnp.eye(2)]
    np.testing.assert_allclose(jax.grad(log_prob)(mean), quotient, rtol=1e-6)


def test_maximum_likelihood_decreases_the_true_negative_log_likelihood():
    """Eight steps on a 2-D mixture; judged on fresh data by the exact divergence."""
    truth = ss.analytic.GaussianMixture([[0.8, 0.4], [-0.8, -0.2]], [0.3, 0.3])
    network = ss.networks.MLP(2, width=16, depth=1, embedding_type="fourier_raw", init_scale=0.1, rngs=nnx.Rngs(0))
    level = ss.denoiser.log_noise_level
    model = ss.NetworkDenoiser(ss.VP(t_min=1e-2), network, predicts="v", noise_level=level)
    loose = {"rtol": 1e-2, "atol": 1e-2, "max_steps": 64}
    optimiser = optax.adam(2e-2)
    state = optimiser.init(model)

    @jax.jit
    def step(model, state, key):
        x = truth.sample(key, 32)
        value, gradient = jax.value_and_grad(lambda m: -jnp.mean(ss.log_likelihood(m, x, key, **loose).log_prob))(model)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(model, updates), state, value

    fresh = truth.sample(jax.random.key(9), 64)
    entropy = -jnp.mean(truth.log_prob(fresh))

    def nll(model):
        ll = ss.log_likelihood(model, fresh, jax.random.key(1), divergence="exact", rtol=1e-3, atol=1e-3)
        return float(-jnp.mean(ll.log_prob) - entropy)

    before = nll(model)
    for k in range(8):
        model, state, _ = step(model, state, jax.random.key(k))
    after = nll(model)
    assert 0 < after < before - 0.1
    assert dataclasses.is_dataclass(model)
