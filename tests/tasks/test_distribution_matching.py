"""Distribution matching: its gradient is that of the KL divergence, and the generator finds the teacher's law."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.checks import per_sample
from score_sde.flow_map import FlowMap
from score_sde.flow_map.base import pair_through
from score_sde.randomness import example_keys
from score_sde.tasks import DistributionMatching
from score_sde.tasks.distribution_matching import Matched, matching
from score_sde.training import TrainState, make_train_step
from score_sde.training.optimizer import in_turns

SDE = ss.VP()


@dataclasses.dataclass(frozen=True)
class Scaled(FlowMap):
    """X(z, t, s) = a z wherever it goes: samples N(0, a²)."""

    a: jax.Array

    def predict(self, x, t, s, condition=None):
        return pair_through(self.sde, x, t, self.a * x, s)


@dataclasses.dataclass(frozen=True)
class OfNormal(ss.Denoiser):
    """The denoiser of N(0, exp(2 r))."""

    r: jax.Array

    def denoise(self, x, t, condition=None):
        alpha, sigma = (per_sample(f(t), x) for f in (self.sde.alpha, self.sde.sigma))
        v = jnp.exp(2 * self.r)
        return alpha * v * x / (alpha**2 * v + sigma**2)


def gradient(a, s):
    """The mean gradient with respect to a, with the exact denoiser of the generator's samples."""
    key_z, key_noise, key_t = jax.random.split(jax.random.key(0), 3)
    z, noise = (jax.random.normal(key, (20_000, 1)) for key in (key_z, key_noise))
    tau = ss.losses.AngleUniform().quantile(SDE, jax.random.uniform(key_t, (20_000,)))
    fake, real = OfNormal(SDE, jnp.log(a)), OfNormal(SDE, jnp.log(s))
    return float(jax.grad(lambda a: jnp.mean(matching(fake, real, a * z, tau, noise)))(a))


def test_the_gradient_leads_to_the_teachers_law():
    assert gradient(0.5, 0.8) < -0.01
    assert gradient(1.2, 0.8) > 0.01
    assert abs(gradient(0.8, 0.8)) < 1e-5


def test_the_loss_has_the_gradient_of_the_difference_of_denoisers():
    x, noise = jax.random.normal(jax.random.key(0), (2, 5, 3))
    tau = jnp.full(5, 0.4)
    fake, real = OfNormal(SDE, jnp.asarray(0.3)), OfNormal(SDE, jnp.asarray(-0.2))
    found = jax.grad(lambda x: jnp.sum(matching(fake, real, x, tau, noise)))(x)
    x_tau = SDE.perturb(x, tau, noise)
    theirs = real.denoise(x_tau, tau)
    scale = jnp.mean(jnp.abs(x - theirs), axis=1, keepdims=True)
    np.testing.assert_allclose(found, (fake.denoise(x_tau, tau) - theirs) / scale / 3, rtol=1e-5)


def test_generator_and_fake_denoiser_find_the_teachers_law():
    """a → 0.8, and the fake denoiser follows: five steps for each of the generator's."""
    begin = Matched(SDE, Scaled(SDE, jnp.asarray(0.3)), OfNormal(SDE, jnp.log(0.8)))
    task = DistributionMatching(lambda key: begin.generator, OfNormal(SDE, jnp.log(0.8)))
    rule, key = in_turns(lambda k: 0.01, slow="^generator", every=6), jax.random.key(0)
    state = TrainState.create(task.init(key), rule)
    step, frozen = make_train_step(task, rule), {"teacher.r": jnp.log(0.8)}

    @jax.jit
    def some(state, first):
        def one(state, k):
            batch = {"data": jnp.zeros((64, 1))}
            return step(state, frozen, batch, example_keys(key, k, jnp.arange(64)))[0], None

        return jax.lax.scan(one, state, first + jnp.arange(600))[0]

    before = state.parameters["generator.a"]
    state = some(state, 0)
    assert float(state.parameters["generator.a"]) > float(before)
    state = some(some(state, 600), 1200)
    assert float(state.parameters["generator.a"]) == pytest.approx(0.8, abs=0.05)
    assert float(state.parameters["fake.r"]) == pytest.approx(np.log(0.8), abs=0.08)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps = 0; allowed: 1 or more"),
        ({"every": 1}, "every = 1; allowed: 2 or more"),
        ({"guidance": 2.0}, "guidance = 2.0 is of a teacher with conditions"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(ValueError, match=words):
        DistributionMatching(lambda key: None, OfNormal(SDE, jnp.asarray(0.0)), **options)
