"""Flow maps: the pair that defines them, the truth by integration, networks told two times, students, consistency models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde import parameters
from score_sde.flow_map.base import pair_through, slope
from score_sde.networks import MLP

KEY = jax.random.key(0)
VP = ss.VP()


INTEGRATED = pytest.mark.parametrize("sde", [VP, ss.EDM(), ss.FlowMatching()], ids=["VP", "EDM", "FlowMatching"])


def times(sde, n=6):
    """Pairs (t, s) with s < t, on the whole range."""
    grid = np.geomspace(max(sde.t_min, 1e-3), sde.t_max_sampling, n + 1)
    return jnp.asarray(grid[1:]), jnp.asarray(grid[:-1])


def network(second_level=True, seed=0):
    mlp = MLP(2, width=16, depth=2, second_level=second_level, embedding_type="fourier_raw", rngs=nnx.Rngs(seed))
    return jax.tree.map(lambda a: jnp.asarray(a), mlp)


def map_of(net, predicts="edm", sde=VP):
    return ss.flow_map.NetworkFlowMap(sde, net, predicts=predicts)


@INTEGRATED
def test_the_flow_of_a_gaussian_is_a_scaling(sde, x64):
    """Data N(0, v): X(x, t, s) = x √(V_s/V_t) with V = α² v + σ²."""
    v, (t, s) = 0.7, times(sde)
    truth = ss.analytic.GaussianMixture(jnp.zeros((1, 2)), jnp.full(1, v**0.5), jnp.ones(1))
    exact = ss.flow_map.integrated(truth.denoiser(sde), rtol=1e-9, atol=1e-9)
    x = jax.random.normal(KEY, (len(t), 2), jnp.float64)
    variance = [sde.alpha(at) ** 2 * v + sde.sigma(at) ** 2 for at in (s, t)]
    expected = x * jnp.sqrt(variance[0] / variance[1])[:, None]
    np.testing.assert_allclose(exact(x, t, s), expected, rtol=1e-7)


@INTEGRATED
def test_the_true_map_is_a_semigroup_and_moves_with_the_velocity(sde, x64):
    means = jnp.asarray([[-1.0, 0.5], [1.0, 0.0], [0.0, -1.0]])
    model = ss.analytic.GaussianMixture(means, jnp.full(3, 0.3), jnp.asarray([0.5, 0.3, 0.2])).denoiser(sde)
    exact = ss.flow_map.integrated(model, rtol=1e-8, atol=1e-8)
    t, s = times(sde)
    middle, x = (t + s) / 2, sde.sigma(t)[:, None] * jax.random.normal(KEY, (len(t), 2), jnp.float64)
    np.testing.assert_allclose(
        exact(exact(x, t, middle), middle, s), exact(x, t, s), atol=1e-6 * float(sde.sigma(t).max())
    )
    x_s, moved = jax.jvp(lambda s: exact(x, t, s), (s,), (jnp.ones_like(s),))
    velocity = model.velocity(x_s, s)
    np.testing.assert_allclose(moved, velocity, atol=1e-5 * float(jnp.abs(velocity).max()))


@pytest.mark.parametrize("predicts", ["noise", "data", "v", "velocity", "edm"])
def test_a_network_map_is_the_pair_between_its_two_times(sde, predicts):
    flow_map, (t, s) = map_of(network(), predicts, sde), times(sde)
    x = jax.random.normal(KEY, (len(t), 2))
    x0, noise = flow_map.predict(x, t, s)
    step = x + (s - t)[:, None] * flow_map.average_velocity(x, t, s)
    np.testing.assert_allclose(sde.alpha(t)[:, None] * x0 + sde.sigma(t)[:, None] * noise, x, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(flow_map(x, t, s), step, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(flow_map(x, t, t), x, rtol=2e-3, atol=2e-4)
    np.testing.assert_array_equal(flow_map.diagonal.denoise(x, t), flow_map.predict(x, t, t)[0])


def test_the_pair_through_two_points_passes_both(sde):
    t, s = times(sde)
    x, x_s = jax.random.normal(KEY, (2, len(t), 2))
    x0, noise = pair_through(sde, x, t, x_s, s)
    np.testing.assert_allclose(sde.perturb(x0, t, noise), x, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(sde.perturb(x0, s, noise), x_s, rtol=1e-3, atol=1e-4)


def test_slopes_keep_their_digits_for_near_times(sde):
    t = jnp.full(40, 0.3 * sde.t_max_sampling, jnp.float32)
    s = t - jnp.asarray(np.geomspace(1e-7, 0.2, 40), jnp.float32) * sde.t_max_sampling
    for f in (sde.alpha, sde.sigma):
        with jax.enable_x64(True):
            wide_t, wide_s = np.asarray(t, np.float64), np.asarray(s, np.float64)
            step = np.where(wide_s == wide_t, 1, wide_s - wide_t)
            true = np.where(wide_s == wide_t, np.nan, (np.asarray(f(wide_s)) - np.asarray(f(wide_t))) / step)
        found = np.asarray(slope(f, t, s))
        known = np.isfinite(true)
        np.testing.assert_allclose(found[known], true[known], rtol=2e-4, atol=1e-6)
        assert np.isfinite(found).all()


def test_a_student_begins_as_its_teachers_step_of_ddim():
    teacher = ss.NetworkDenoiser(VP, network(second_level=False, seed=1), predicts="edm")
    student = ss.flow_map.student_of(teacher, map_of(network(seed=2)))
    (t, s), x = times(VP), jax.random.normal(KEY, (6, 2))
    x0, noise = teacher.predict(x, t)
    step = VP.alpha(s)[:, None] * x0 + VP.sigma(s)[:, None] * noise
    np.testing.assert_allclose(student(x, t, s), step, rtol=1e-5, atol=1e-6)
    leaves = {id(leaf) for leaf in jax.tree.leaves(teacher)}
    assert not leaves & {id(leaf) for leaf in jax.tree.leaves(student)}  # copies: a step may donate them


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (
            ss.NetworkDenoiser(ss.VP(beta_max=10.0), network(False), predicts="edm"),
            "begins as a NetworkDenoiser under its own SDE",
        ),
        (ss.NetworkDenoiser(VP, network(False), predicts="v"), "predicts = 'v', the student 'edm'"),
        (ss.NetworkDenoiser(VP, MLP(2, width=8, rngs=nnx.Rngs(0)), predicts="edm"), "differ in shape: .*|lacks"),
        (ss.analytic.GaussianMixture(jnp.zeros((1, 2)), jnp.ones(1), jnp.ones(1)).denoiser(VP), "the teacher is a "),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(teacher, words):
    with pytest.raises(ValueError, match=words):
        ss.flow_map.student_of(teacher, map_of(network()))


def test_a_consistency_model_leads_to_the_data_alone():
    model = ss.flow_map.consistency(ss.NetworkDenoiser(VP, network(False), predicts="edm"))
    x = jax.random.normal(KEY, (3, 2))
    np.testing.assert_allclose(model(x, VP.t_min, VP.t_min), x, rtol=1e-4, atol=1e-5)
    assert model.only_to_data
    with pytest.raises(ValueError, match=r"s = 0.3; a consistency model leads to the data alone, s = t_min = 1e-05"):
        model(x, 0.5, 0.3)


def test_gradients_reach_the_parameters_of_a_map():
    flow_map = map_of(network())
    loss = jax.grad(lambda model: jnp.sum(model(jnp.ones((2, 2)), 0.8, 0.2) ** 2))(flow_map)
    assert any(float(jnp.abs(leaf).max()) > 0 for leaf in parameters.named(loss).values())
