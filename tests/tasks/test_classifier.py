"""A classifier of noisy data is trained to the posterior of the classes, which is known for a mixture."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import score_sde as ss
from score_sde.guidance import NoisyClassifier
from score_sde.randomness import example_keys
from score_sde.training import TrainState, make_train_step
from tests.guidance.test_classifier import Exact
from tests.guidance.test_classifier_free import MEANS, STDS, WEIGHTS

SDE = ss.VP()


def batch(key, n):
    """Labelled examples of the mixture."""
    first, second = jax.random.split(key)
    y = jax.random.choice(first, 3, (n,), p=jnp.asarray(WEIGHTS))
    x = jnp.asarray(MEANS, jnp.float32)[y] + jnp.asarray(STDS)[y, None] * jax.random.normal(second, (n, 2))
    return {"data": x.astype(jnp.float32), "label": y}


def model(key):
    network = ss.networks.VectorClassifier(2, num_classes=3, width=64, depth=2, rngs=nnx.Rngs(key))
    return NoisyClassifier(SDE, network)


def test_it_learns_the_posterior():
    task, key = ss.tasks.Classifier(model), jax.random.key(0)
    optimizer = optax.adam(3e-3)
    state = TrainState.create(task.init(key), optimizer)
    train_step = make_train_step(task, optimizer)

    @jax.jit
    def some(state, k):
        def one(state, k):
            return train_step(state, {}, batch(jax.random.fold_in(key, k), 512), example_keys(key, k, jnp.arange(512)))

        return jax.lax.scan(one, state, k + jnp.arange(300))

    state, metrics = some(state, 0)
    state, metrics = some(state, 300)
    examples, keys = batch(jax.random.key(9), 4000), jax.random.split(jax.random.key(8), 4000)
    context = ss.training.task.Context(None, {}, {}, {}, jnp.zeros((), int), training=False)
    measured = {
        name: jnp.mean(task.loss(context._replace(model=each), examples, keys)[0])
        for name, each in (("learned", state.model()), ("exact", Exact(SDE)), ("begin", task.init(key)))
    }
    assert abs(float(measured["begin"]) - np.log(3)) < 1e-5  # every class as likely
    assert measured["exact"] <= measured["learned"] < measured["exact"] + 0.02
    assert set(metrics) >= {"loss", "accuracy"}
    x, t = examples["data"][:200], 0.2
    x_t = SDE.perturb(x, t, jax.random.normal(jax.random.key(7), x.shape))
    found, truth = (jax.nn.softmax(each.logits(x_t, t)) for each in (state.model(), Exact(SDE)))
    assert float(jnp.mean(jnp.abs(found - truth))) < 0.05


def test_images():
    network = ss.networks.Classifier(8, 1, num_classes=4, nf=8, ch_mult=(1, 2), num_res_blocks=1, rngs=nnx.Rngs(0))
    classifier = NoisyClassifier(SDE, network)
    x = jax.random.normal(jax.random.key(0), (3, 8, 8, 1))
    logits = classifier.logits(x, jnp.array([0.1, 0.5, 1.0]))
    assert logits.shape == (3, 4)
    assert abs(logits).max() < 1e-4  # every class is as likely at first
    np.testing.assert_array_equal(classifier.log_prob(x, 0.5, jnp.array([0, 4, -1]))[1:], [jnp.nan, jnp.nan])
