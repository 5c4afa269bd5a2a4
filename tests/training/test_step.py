"""A step, its optimisers and averages, by their formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from score_sde import parameters
from score_sde.randomness import example_keys
from score_sde.training import averages, optimizer
from score_sde.training.state import TrainState
from score_sde.training.step import make_train_step
from score_sde.training.task import Task


class Quadratic(Task):
    """‖θ − x‖²/2 for each example, with a little of its own noise."""

    def loss(self, context, batch, keys):
        theta = context.model["theta"]
        noise = jax.vmap(lambda key: 0.1 * jax.random.normal(key, (3,)))(keys)
        error = theta["a"] - batch["x"] + noise
        return 0.5 * jnp.sum(error**2, axis=1) + 0.5 * theta["b"] ** 2, {"error": jnp.abs(error).max(axis=1)}


MODEL = {"theta": {"a": jnp.arange(3.0), "b": jnp.array(2.0)}}
KEYS = jax.random.split(jax.random.key(0), 8)
BATCH = {"x": jax.random.normal(jax.random.key(1), (8, 3))}


def run(transform, batches, decays=None, **options):
    step = jax.jit(make_train_step(options.pop("task", Quadratic()), transform, decays, **options))
    state, found = TrainState.create(MODEL, transform, decays), []
    for batch in batches:
        state, metrics = step(state, {}, batch, KEYS)
        found.append(metrics)
    return state, found


def test_gradient_descent():
    """θ ← θ − η mean_i (θ − x_i + noise_i), and what is measured on the way."""
    state, (metrics,) = run(optax.sgd(0.5), [BATCH])
    noise = jax.vmap(lambda key: 0.1 * jax.random.normal(key, (3,)))(KEYS)
    gradient = np.asarray(MODEL["theta"]["a"] - BATCH["x"] + noise).mean(axis=0)
    np.testing.assert_allclose(state.parameters["theta.a"], MODEL["theta"]["a"] - 0.5 * gradient, rtol=1e-6)
    np.testing.assert_allclose(state.parameters["theta.b"], 1.0)
    np.testing.assert_allclose(metrics["grad_norm"], np.sqrt((gradient**2).sum() + 4.0), rtol=1e-6)
    norm = np.sqrt(np.sum(np.square(state.parameters["theta.a"])) + 1.0)
    np.testing.assert_allclose(metrics["param_norm"], norm, rtol=1e-6)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_accumulation_is_the_same_step(parts):
    whole, (a,) = run(optax.adam(0.1), [BATCH])
    divided, (b,) = run(optax.adam(0.1), [BATCH], accumulate=parts)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(divided), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-6)
    np.testing.assert_allclose(a["error"], b["error"], rtol=1e-6)


def test_a_step_without_a_finite_loss_changes_nothing_and_is_counted():
    bad = {"x": BATCH["x"].at[3, 1].set(jnp.nan)}
    decays = {"ema": averages.constant(0.5)}
    clean, _ = run(optax.adam(0.1), [BATCH, BATCH], decays)
    state, metrics = run(optax.adam(0.1), [BATCH, bad, bad, BATCH], decays)
    assert [int(m["skipped"]) for m in metrics] == [0, 1, 2, 2]
    assert [int(m["skipped_in_row"]) for m in metrics] == [0, 1, 2, 0]
    assert int(state.step) == 4
    for name, value in clean.parameters.items():
        np.testing.assert_array_equal(value, state.parameters[name])
    assert np.isnan(metrics[1]["loss"])


def test_averages():
    """The original's warm-up, and the power-function average as a weighted mean of all states."""
    decays = {"ema": averages.constant(0.3), "plain": averages.constant(0.3, warmup=False), "wide": averages.power(0.1)}
    step = jax.jit(make_train_step(Quadratic(), optax.sgd(0.5), decays))
    state = TrainState.create(MODEL, optax.sgd(0.5), decays)
    ema = plain = MODEL["theta"]["b"]
    seen = []
    for n in range(1, 9):
        state, _ = step(state, {}, BATCH, KEYS)
        b = state.parameters["theta.b"]
        rate = min(0.3, (1 + n) / (10 + n))
        ema, plain = rate * ema + (1 - rate) * b, 0.3 * plain + 0.7 * b
        seen.append(float(b))
    np.testing.assert_allclose(state.averages["ema"]["theta.b"], ema, rtol=1e-5)
    np.testing.assert_allclose(state.averages["plain"]["theta.b"], plain, rtol=1e-5)
    gamma = averages.exponent(0.1)
    k = np.arange(1, 9)
    exact = k ** (gamma + 1) - (k - 1) ** (gamma + 1)  # what Π(1 − 1/n)^(γ+1) leaves to θ_k: ∝ k^γ for large k
    np.testing.assert_allclose(state.averages["wide"]["theta.b"], np.dot(exact, seen) / exact.sum(), rtol=1e-4)


@pytest.mark.parametrize(("width", "gamma"), [(0.05, 16.97), (0.10, 6.94), (0.25, 0.7237)])
def test_exponents_of_relative_widths(width, gamma):
    """The first two as published (Karras et al. 2024, section 3.1), the third by its definition."""
    found = averages.exponent(width)
    assert found == pytest.approx(gamma, abs=0.01)
    assert np.sqrt((found + 1) / ((found + 2) ** 2 * (found + 3))) == pytest.approx(width)


def test_schedules():
    k = jnp.array([0, 5, 10, 55, 100, 200])
    constant = jax.vmap(optimizer.schedule(2.0, 10))(k)
    np.testing.assert_allclose(constant, [0, 1, 2, 2, 2, 2])
    cosine = jax.vmap(optimizer.schedule(2.0, 10, decay="cosine", steps=100))(k)
    np.testing.assert_allclose(cosine, [0, 1, 2, 1, 0, 0], atol=1e-6)
    root = jax.vmap(optimizer.schedule(2.0, 10, decay="sqrt"))(jnp.array([5, 10, 40, 1000]))
    np.testing.assert_allclose(root, [1, 2, 1, 0.2], rtol=1e-6)


def test_optimisers():
    """PyTorch's Adam adds weight decay to the gradient, AdamW does not; clipping goes by the norm of all."""
    parameters, gradient = {"a": jnp.array([-4.0, 4.0])}, {"a": jnp.array([30.0, 40.0])}

    def update(rule, clip=None, **options):
        transform, _ = optimizer.optimizer(rule, lr=0.1, warmup=0, clip=clip, **options)
        return transform.update(gradient, transform.init(parameters), parameters)[0]["a"]

    np.testing.assert_allclose(update(optimizer.sgd, clip=5.0), [-0.3, -0.4], rtol=1e-6)
    np.testing.assert_allclose(update(optimizer.sgd), [-3.0, -4.0])
    np.testing.assert_allclose(update(optimizer.adam, l2=10.0), [0.1, -0.1], rtol=1e-4)  # 30 − 40 < 0
    np.testing.assert_allclose(update(functools.partial(optimizer.adamw, weight_decay=10.0)), [3.9, -4.1], rtol=1e-4)


def test_groups_and_frozen_parameters():
    transform = optimizer.grouped(
        {"slow": optax.sgd(0.1), "fast": optax.sgd(1.0)}, lambda name: "fast" if name == "theta.a" else "slow"
    )
    state, _ = run(transform, [BATCH])
    plain, _ = run(optax.sgd(1.0), [BATCH])
    np.testing.assert_array_equal(state.parameters["theta.a"], plain.parameters["theta.a"])
    np.testing.assert_allclose(state.parameters["theta.b"], 1.8)
    frozen, _ = run(optimizer.without(optax.adam(1.0), r"\.a$"), [BATCH, BATCH])
    np.testing.assert_array_equal(frozen.parameters["theta.a"], MODEL["theta"]["a"])
    assert float(frozen.parameters["theta.b"]) < 1.5
    with pytest.raises(ValueError, match=r"parameter theta\.a is in group 'other'; there are 'frozen', 'slow'"):
        TrainState.create(MODEL, optimizer.grouped({"slow": optax.sgd(0.1)}, lambda name: "other"))


def test_keys_are_the_seeds_the_steps_and_the_positions():
    key = jax.random.key(3)
    keys = example_keys(key, jnp.array(4), jnp.array([7, 2]))
    expected = jax.random.fold_in(jax.random.fold_in(key, 4), 2)
    assert jnp.array_equal(jax.random.key_data(keys[1]), jax.random.key_data(expected))


def test_names_of_a_model():
    trained, constants, structure = parameters.split({"w": jnp.ones(2), "deep": [{"n": jnp.array(3)}]})
    assert set(trained) == {"w"}
    assert set(constants) == {"deep.0.n"}
    again = structure.build({"w": jnp.zeros(2)}, constants)
    assert float(again["w"].sum()) == 0


class Summed(Quadratic):
    """A loss of the batch, where one of each example is meant."""

    def loss(self, context, batch, keys):
        values, metrics = super().loss(context, batch, keys)
        return values.sum(), metrics


class SummedMetric(Quadratic):
    """The same of a metric."""

    def loss(self, context, batch, keys):
        values, metrics = super().loss(context, batch, keys)
        return values, {"error": metrics["error"].max()}


def test_a_loss_has_a_value_for_each_example():
    with pytest.raises(ValueError, match=r"the loss of Summed has shape \(\); it must return one value .*, \(8,\)"):
        run(optax.sgd(0.1), [BATCH], task=Summed())
    with pytest.raises(ValueError, match=r"the metric 'error' of SummedMetric has shape \(\)"):
        run(optax.sgd(0.1), [BATCH], task=SummedMetric())


def test_bad_input():
    with pytest.raises(ValueError, match=r"rate = 1\.0; allowed: from 0"):
        averages.constant(1.0)
    with pytest.raises(ValueError, match=r"width = 0\.5; allowed"):
        averages.power(0.5)
    with pytest.raises(ValueError, match='decay = "cosine" needs steps'):
        optimizer.schedule(1.0, decay="cosine")
    with pytest.raises(ValueError, match=r"clip = -1; allowed: above 0, or None"):
        optimizer.optimizer(clip=-1)
    with pytest.raises(ValueError, match="accumulate = 3 does not divide the batch of 8"):
        run(optax.sgd(0.1), [BATCH], accumulate=3)
