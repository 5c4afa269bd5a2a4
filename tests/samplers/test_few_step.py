"""Jumps of a flow map: the true map has the true law on every grid and for every γ, at one evaluation a jump."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.checks import per_sample
from score_sde.flow_map import FlowMap
from score_sde.flow_map.base import pair_through

KEY, N, V = jax.random.key(0), 20_000, 0.25


@dataclasses.dataclass(frozen=True)
class OfGaussian(FlowMap):
    """The true map of data N(0, v): X = x √(V_s/V_t), V = α² v + σ²."""

    v: float = dataclasses.field(default=V, metadata={"static": True})

    def predict(self, x, t, s, condition=None):
        variance = [self.sde.alpha(at) ** 2 * self.v + self.sde.sigma(at) ** 2 for at in (s, t)]
        return pair_through(self.sde, x, t, x * per_sample(jnp.sqrt(variance[0] / variance[1]), x), s)


@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_true_map_has_the_true_law(sde, steps, gamma):
    out = ss.samplers.few_step(OfGaussian(sde), KEY, N, (1,), steps=steps, gamma=gamma)
    first = float(sde.alpha(sde.t_max_sampling)) ** 2 * V + float(sde.sigma(sde.t_max_sampling)) ** 2
    began = float(sde.sigma(sde.t_max_sampling)) ** 2  # the prior has no signal
    variance = V * (began / first if gamma == 0 or steps == 1 else 1.0)
    assert float(jnp.var(out.x)) == pytest.approx(variance, rel=5 * np.sqrt(2 / N) + (0.05 if gamma == 0.4 else 0))
    assert int(out.nfe[0]) == int(out.calls) == steps
    assert bool((out.failed_at < 0).all())


def test_any_grid_serves():
    sde = ss.FlowMatching()
    out = ss.samplers.few_step(
        OfGaussian(sde), KEY, N, (1,), time_grid=np.array([0.99, 0.9, 0.05, sde.t_min]), gamma=0.7
    )
    assert float(jnp.var(out.x)) == pytest.approx(V, rel=0.05)
    assert int(out.calls) == 3


def test_a_jump_to_the_data_and_back_adds_the_noise_of_the_sde():
    """γ = 1: x_s = α_s x̂ + σ_s z, as in multistep consistency sampling."""
    sde, z = ss.VP(), jax.random.normal(KEY, (2, 1, 3, 1))
    model = ss.flow_map.consistency(ss.FunctionDenoiser(sde, lambda x, t, c: 0.5 * x, predicts="data"))
    x = jax.random.normal(jax.random.key(1), (3, 1))
    grid = np.array([0.9, 0.4, sde.t_min])
    out = ss.samplers.few_step(model, KEY, 3, (1,), gamma=1, time_grid=grid, x_init=x, noise=z)
    np.testing.assert_allclose(out.x, 0.5 * sde.perturb(0.5 * x, 0.4, z[0, 0]), atol=2e-3)


def test_times_of_two_steps_meet_where_signal_and_noise_are_equal(sde):
    grid = ss.samplers.grids.angle(sde, 2)
    assert float(sde.sigma(grid[1]) / sde.alpha(grid[1])) == pytest.approx(1, abs=0.2)
    assert grid[-1] == pytest.approx(sde.t_min, rel=1e-5)


def test_a_sample_depends_on_its_index_alone():
    model = OfGaussian(ss.VP())
    whole = ss.samplers.few_step(model, KEY, 8, (2,), steps=2, gamma=0.5)
    part = ss.samplers.few_step(model, KEY, 3, (2,), steps=2, gamma=0.5, start=5)
    np.testing.assert_array_equal(whole.x[5:], part.x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps = 0; give a whole number >= 1"),
        ({"gamma": 1.5}, "gamma = 1.5; allowed: 0"),
        ({"final": "denoise"}, "one more evaluation, of no use"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(ValueError, match=words):
        ss.samplers.few_step(OfGaussian(ss.VP()), KEY, 2, (1,), **options)


def test_a_consistency_model_is_not_asked_for_what_it_lacks():
    model = ss.flow_map.consistency(ss.FunctionDenoiser(ss.VP(), lambda x, t, c: 0.5 * x, predicts="data"))
    with pytest.raises(ValueError, match=r"gamma = 0.0 with 2 steps asks for .* give gamma=1, or steps=1"):
        ss.samplers.few_step(model, KEY, 2, (1,), steps=2)


def test_a_denoiser_is_no_flow_map(unchecked):
    model = ss.FunctionDenoiser(ss.VP(), lambda x, t, c: x, predicts="data")
    with pytest.raises(ValueError, match="model is a FunctionDenoiser; few_step needs a flow map"):
        ss.samplers.few_step(model, KEY, 2, (1,))
