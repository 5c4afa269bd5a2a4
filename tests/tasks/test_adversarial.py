"""Two optimisers that alternate 5:1: a critic and a generator, whose every step is known.

D(x) = ψ x,  x_data ~ N(m, 1),  G(z) = μ + z;   critic  −(E D(x_data) − E D(G)) + γ/2 ψ²,   generator  −E D(G)
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from score_sde import pytree
from score_sde.randomness import Purpose, example_keys, for_each
from score_sde.training import TrainState, make_train_step
from score_sde.training.optimizer import alternate, turn
from score_sde.training.task import Task

GAMMA, MEAN, RATE = 0.5, 1.5, 0.1


@dataclasses.dataclass(frozen=True)
class Pair:
    """A critic ψ and a generator μ."""

    critic: jax.Array
    generator: jax.Array


pytree.register(Pair, static_unless_told=False)


class Adversarial(Task):
    """Both losses in one sum: each player sees the other as a constant."""

    def init(self, key):
        return Pair(jnp.zeros(()), jnp.zeros(()))

    def loss(self, context, batch, keys):
        model, constant = context.model, jax.lax.stop_gradient(context.model)
        z = for_each(keys, Purpose.NOISE, jax.random.normal)
        critic = -(model.critic * batch["data"] - model.critic * (constant.generator + z)) + GAMMA / 2 * model.critic**2
        return critic - constant.critic * (model.generator + z), {"critic": critic}


def optimizer():
    label = {"critic": "critic", "generator": "generator"}.__getitem__
    transforms = {"critic": optax.sgd(RATE), "generator": optax.sgd(RATE, momentum=0.5)}
    return alternate(transforms, label, {"critic": turn(-1, of=6), "generator": turn(1, of=6)})


def test_five_steps_of_one_and_one_of_the_other():
    task, rule, key = Adversarial(), optimizer(), jax.random.key(0)
    state = TrainState.create(task.init(key), rule)
    train_step = jax.jit(make_train_step(task, rule))
    psi = mu = momentum = 0.0
    for k in range(24):
        data = MEAN + jax.random.normal(jax.random.fold_in(jax.random.key(1), k), (64,))
        keys = example_keys(key, k, jnp.arange(64))
        z = for_each(keys, Purpose.NOISE, jax.random.normal)
        state, _ = train_step(state, {}, {"data": data}, keys)
        if k % 6 < 5:
            psi += RATE * (float(jnp.mean(data)) - mu - float(jnp.mean(z)) - GAMMA * psi)
        else:
            momentum = 0.5 * momentum - psi
            mu -= RATE * momentum
        np.testing.assert_allclose(state.parameters["critic"], psi, rtol=1e-4)
        np.testing.assert_allclose(state.parameters["generator"], mu, rtol=1e-4, atol=1e-7)


def test_the_generator_finds_the_data():
    task, rule, key = Adversarial(), optimizer(), jax.random.key(0)
    train_step = make_train_step(task, rule)

    @jax.jit
    def train(state):
        def one(state, k):
            data = MEAN + jax.random.normal(jax.random.fold_in(jax.random.key(1), k), (512,))
            return train_step(state, {}, {"data": data}, example_keys(key, k, jnp.arange(512)))[0], None

        return jax.lax.scan(one, state, jnp.arange(1200))[0]

    state = train(TrainState.create(task.init(key), rule))
    assert abs(float(state.parameters["generator"]) - MEAN) < 0.1
    assert abs(float(state.parameters["critic"])) < 0.2
