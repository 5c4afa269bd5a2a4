"""Levels drawn by their losses: iDDPM's weights, no bias, and a table that a training step fills."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import score_sde as ss
from score_sde.losses import importance
from score_sde.tasks import Variational
from score_sde.training import TrainState, make_train_step
from tests.networks.quick import quick_jit

FILE = Path(__file__).parents[2].parent / "shared/reference/adm_more/diffusion/loss_second_moment.npz"


@pytest.mark.skipif(not FILE.exists(), reason="the reference arrays are absent")
def test_weights_are_the_originals(x64):
    """After each update; uniform until every level has as many losses as the table holds."""
    arrays = np.load(FILE)
    table = importance.empty_table(24, 4)
    update = jax.jit(importance.updated)
    for k, losses, weights in zip(arrays["ts"], arrays["losses"], arrays["weights"], strict=True):
        table = update(table, jnp.asarray(k), jnp.asarray(losses))
        np.testing.assert_allclose(importance.probabilities(table), weights / weights.sum(), rtol=1e-10)
    assert np.ptp(arrays["weights"][-1]) > 0


def test_levels_have_their_probabilities():
    table = importance.LossTable(jnp.array([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0]]), jnp.array([2, 2, 2]))
    k, p = importance.drawn(table, (jnp.arange(30_000) + 0.5) / 30_000)
    expected = np.asarray(importance.probabilities(table))
    np.testing.assert_allclose(np.bincount(k, minlength=3) / 30_000, expected, atol=1e-4)
    np.testing.assert_allclose(p, expected[np.asarray(k)], rtol=1e-6)
    assert float(jnp.mean(jnp.array([5.0, 1.0, 2.0])[k] / p)) == pytest.approx(8.0, rel=1e-3)  # the sum over levels


class Affine(nnx.Module):
    """(ε̂, v), linear in x."""

    def __init__(self):
        self.weight = nnx.Param(jnp.array([0.5, 0.1]))

    def __call__(self, x, noise_level, condition=None, *, dropout_keys=None):
        return jnp.concatenate([self.weight[0] * x, self.weight[1] * x], axis=-1)


def test_a_step_fills_the_table():
    """With the L_k of its own examples, at levels that then change the draw; other losses stay finite."""
    sde = ss.VP(beta_max=4.0, num_scales=5)

    def model(key):
        return ss.NetworkDenoiser(sde, Affine(), predicts="noise", beside=("variance",))

    task = Variational(model, history=2, levels=None)
    optimizer = optax.sgd(1e-3)
    state = TrainState.create(model(jax.random.key(0)), optimizer, {}, task.memory)
    step = quick_jit(make_train_step(task, optimizer, {}))
    batch = {"data": jax.random.normal(jax.random.key(1), (64, 3))}
    for i in range(3):
        state, metrics = step(state, {}, batch, jax.random.split(jax.random.key(i), 64))
    assert state.memory["counts"].tolist() == [2] * 5
    assert bool((state.memory["losses"] > 0).any())
    assert np.isfinite(float(metrics["loss"]))
    p = importance.probabilities(importance.LossTable(**state.memory))
    assert float(p.sum()) == pytest.approx(1, abs=1e-5)
    assert float(jnp.ptp(p)) > 0.01
