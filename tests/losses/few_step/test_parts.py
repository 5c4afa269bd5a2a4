"""What few-step losses share: pairs of times, units of errors, distances, dropout, and the precision of forward mode."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde.losses import few_step
from score_sde.losses.few_step.parts import dropped, of_pair, of_velocity, point_of
from score_sde.networks import MLP

KEYS = jax.random.split(jax.random.key(0), 4000)
SDE = ss.VP()


def map_of(**options):
    options = {"width": 16, "depth": 2, "embedding_type": "fourier_raw", **options}
    network = MLP(2, second_level=True, rngs=nnx.Rngs(0), **options)
    return ss.flow_map.NetworkFlowMap(SDE, network, predicts="edm")


def test_pairs_are_sorted_and_some_are_equal(sde):
    t, s = few_step.Sorted(equal=0.3).draw(sde, KEYS)
    assert bool((s <= t).all())
    assert float(jnp.mean(s == t)) == pytest.approx(0.3, abs=0.03)
    assert bool((s >= sde.t_min).all())
    apart = t > s
    middle = jnp.mean(jnp.where(apart, t, 0)) / jnp.mean(apart)  # the mean of the larger of two: 2/3 of the span
    assert float(middle) == pytest.approx(2 / 3 * sde.t_max_sampling, rel=0.03)


def test_pairs_to_the_data_end_there(sde):
    t, s = few_step.ToData().draw(sde, KEYS[:8])
    np.testing.assert_allclose(s, sde.t_min)
    assert bool((t > s).all())


def test_where_the_times_are_equal_a_loss_is_denoising(sde):
    """``diagonal`` and ``eulerian`` with s = t are w ‖ε̂ − ε‖²/d at the same times and noise."""
    model = ss.FunctionDenoiser(sde, lambda x, t, c: 0.3 * x, predicts="data")
    x0, keys = jax.random.normal(jax.random.key(1), (64, 3)), KEYS[:64]
    pairs = few_step.Sorted(ss.losses.AngleUniform(), equal=1.0)
    at = point_of(sde, x0, keys, pairs)
    expected = ss.losses.denoising_at(model, x0, at.t, at.noise, weighting=ss.losses.snr_plus_one)
    flow_map = ss.flow_map.ddim(model)
    np.testing.assert_allclose(few_step.diagonal(flow_map, x0, keys, pairs=pairs), expected, rtol=2e-3)
    np.testing.assert_allclose(few_step.eulerian(flow_map, x0, keys, pairs=pairs), expected, rtol=2e-2)


def test_errors_of_velocities_and_pairs_are_errors_of_the_noise(sde):
    t = jnp.linspace(0.1, 0.9, 9) * sde.t_max_sampling
    error = jax.random.normal(jax.random.key(2), (9, 2))
    alpha, sigma = sde.alpha(t)[:, None], sde.sigma(t)[:, None]
    of_x0 = -sigma / alpha * error
    velocity = sde.alpha_dot(t)[:, None] * of_x0 + sde.sigma_dot(t)[:, None] * error
    plain = ss.losses.score_matching
    np.testing.assert_allclose(of_velocity(sde, t, velocity, plain), error, rtol=1e-4, atol=1e-5)
    found = of_pair(sde, t, (of_x0, error), (jnp.zeros_like(error), jnp.zeros_like(error)), plain)
    np.testing.assert_allclose(found, error, rtol=1e-4, atol=1e-5)


def test_distances():
    error = jnp.array([[3.0, 4.0], [0.0, 0.5]])
    np.testing.assert_allclose(few_step.mean_squares(error), [12.5, 0.125])
    np.testing.assert_allclose(few_step.pseudo_huber(0.0)(error), [5.0, 0.5])
    np.testing.assert_allclose(few_step.pseudo_huber(12.0)(error), [1.0, np.sqrt(144.25) - 12], rtol=1e-4)
    np.testing.assert_allclose(
        few_step.adaptive(0.5, 0.01)(error), [25 / np.sqrt(25.01), 0.25 / np.sqrt(0.26)], rtol=1e-6
    )
    slope = jax.grad(lambda e: jnp.sum(few_step.adaptive(1.0, 0.01)(e)))(error)
    np.testing.assert_allclose(slope[0], 2 * error[0] / 25.01, rtol=1e-6)


@pytest.mark.parametrize("c", [-1.0])
def test_distances_refuse_bad_numbers(c):
    with pytest.raises(ValueError, match=r"c = -1.0; allowed: 0 or more"):
        few_step.pseudo_huber(c)
    with pytest.raises(ValueError, match="epsilon = 0; allowed: above 0"):
        few_step.adaptive(1.0, 0)
    with pytest.raises(ValueError, match=r"equal = 1.5; allowed: 0 to 1"):
        few_step.Sorted(equal=1.5)


def test_both_sides_of_a_loss_have_the_same_dropout_mask():
    model = map_of(dropout=0.5)
    one, other = dropped(KEYS[:6], model, jax.lax.stop_gradient(model))
    x = jax.random.normal(jax.random.key(1), (6, 2))
    np.testing.assert_array_equal(one(x, 0.8, 0.2), other(x, 0.8, 0.2))
    assert bool(jnp.any(one(x, 0.8, 0.2) != model(x, 0.8, 0.2)))
    assert bool(jnp.any(one(x, 0.8, 0.2) != dropped(KEYS[6:12], model)[0](x, 0.8, 0.2)))


@pytest.mark.parametrize("loss", [few_step.eulerian, few_step.improved_mean_flow, few_step.continuous_consistency])
def test_forward_mode_through_a_network_in_bfloat16(loss):
    x0, keys, values = jax.random.normal(jax.random.key(1), (256, 2)), KEYS[:256], []
    loss = functools.partial(loss, distance=few_step.mean_squares)
    for dtype in ("float32", "bfloat16"):
        model = map_of(dtype=dtype)
        value, gradient = jax.value_and_grad(lambda model: jnp.mean(loss(model, x0, keys)))(model)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))
        values.append(float(value))
    assert values[1] == pytest.approx(values[0], rel=0.03)


def test_progressive_rounds_halve_the_steps():
    """In round r the student's step covers two of the target's: the times of a one-step round are both ends."""
    seen = []

    class Spy(ss.flow_map.OneStep):
        def predict(self, x, t, s, condition=None):
            seen.append((t, s))
            return super().predict(x, t, s, condition)

    spy = Spy(SDE, ss.FunctionDenoiser(SDE, lambda x, t, c: 0.3 * x, predicts="data"))
    few_step.progressive(spy, jnp.ones((16, 2)), KEYS[:16], target=spy, step=25, first=4, every=10)
    (t, middle), (again, s), (start, end) = seen
    np.testing.assert_allclose(t, SDE.t_max_sampling)
    np.testing.assert_allclose(s, SDE.t_min)
    np.testing.assert_array_equal(middle, again)
    np.testing.assert_array_equal(start, t)
    np.testing.assert_array_equal(end, s)
    with pytest.raises(ValueError, match="first = 6, last = 1; allowed: whole numbers with first = last times a power"):
        few_step.progressive(spy, jnp.ones((16, 2)), KEYS[:16], first=6)


def test_levels_double_as_published():
    points = few_step.doubling(400_000, 10, 1280)
    assert [int(points(k)) for k in (0, 49_999, 50_000, 399_999)] == [11, 11, 21, 1281]
