"""Bad input is told what is allowed; what fails inside is flagged and never a silent NaN."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.data import DataScaling

KEY = jax.random.key(0)
TRUTH = ss.analytic.GaussianMixture([[1.0, 0.5], [-1.0, 0.3]], [0.3, 0.2])
MODEL = TRUTH.denoiser(ss.VP())
X = TRUTH.sample(KEY, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((2, 2), np.uint8)}, r"dtype uint8.*of_data"),
        ({"x": np.array([[0.0, 1.0], [np.nan, 0.0]], np.float32)}, r"not finite in 1 of 2.*x\[1\]"),
        ({"x": np.zeros(3, np.float32)}, r"shape \(3,\); give \(n, \*shape\)"),
        ({"probes": 0}, "probes = 0; at least 1"),
        ({"probes": np.ones((6, 2))}, r"probes has shape \(6, 2\)"),
        ({"divergence": "hutch"}, 'divergence = \'hutch\'; allowed: "hutchinson", "exact"'),
        ({"distribution": "uniform"}, 'allowed: "rademacher", "gaussian"'),
        ({"divergence": "exact", "memory": 64}, "memory = 0 MiB are allowed. Give a smaller chunk"),
        ({"divergence": "exact", "chunk": 0}, "chunk = 0"),
        ({"rtol": 0.0}, "rtol = 0.0; it must be positive"),
        ({"steps": "all"}, 'steps = \'all\'; allowed: "each", "joint"'),
        ({"max_steps": 0}, "max_steps = 0"),
        ({"solver": "RK45"}, "solver = 'RK45'; give ss.likelihood.Adams()"),
        ({"last_step": "denoise"}, 'allowed: "stop", "bound"'),
        ({"t_min": 0.5, "t_max": 0.4}, "allowed: 0 <= t_min < t_max <= 1.0"),
        ({"condition": {"label": np.zeros(3, int)}}, r"condition\['label'\] has shape \(3,\)"),
    ],
)
def test_log_likelihood(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ss.log_likelihood(MODEL, **({"x": X, "key": KEY} | arguments))


def test_a_noise_prediction_cannot_end_where_alpha_is_zero():
    model = ss.FunctionDenoiser(ss.FlowMatching(), lambda x, t, condition: x, predicts="noise")
    with pytest.raises(ValueError, match=r"alpha is 0 at t_max = 1.*give t_max = 0.999"):
        ss.log_likelihood(model, X, KEY)


@pytest.mark.parametrize(
    ("data", "scaling", "message"),
    [
        (np.zeros((2, 4), np.float32), DataScaling(), "dtype float32, but scaling.levels = 256 means integers"),
        (np.full((2, 4), 17, np.uint8), DataScaling(levels=17), "range from 17 to 17.*means 0 to 16"),
        (np.full((2, 4), -1), DataScaling(levels=17), "range from -1"),
        (np.full((2, 4), np.inf), DataScaling(levels=None), "not finite"),
    ],
)
def test_data(data, scaling, message):
    with pytest.raises(ValueError, match=message):
        ss.likelihood.of_data(MODEL, data, KEY, scaling)
    with pytest.raises(ValueError, match=message):
        ss.likelihood.continuous_bound(MODEL, data, KEY, scaling=scaling)


def test_bounds():
    with pytest.raises(ValueError, match="FlowMatching has no discrete chain; give steps"):
        ss.likelihood.discrete_bound(TRUTH.denoiser(ss.FlowMatching()), X, KEY)
    with pytest.raises(ValueError, match="draws = 0"):
        ss.likelihood.continuous_bound(MODEL, X, KEY, draws=0)
    with pytest.raises(ValueError, match="dtype uint8; give floats"):
        ss.likelihood.continuous_bound(MODEL, np.zeros((2, 2), np.uint8), KEY)


def test_out_of_steps_is_flagged_and_the_rest_returned():
    """max_steps between what the quickest and the slowest sample need."""
    fine = ss.log_likelihood(MODEL, X, KEY)
    taken = np.asarray(fine.nfe) - 1  # one evaluation a step
    limit = int(np.sort(taken)[2])
    with pytest.warns(RuntimeWarning, match=r"of 6 samples was given up: sample \d at t = 0\.\d+ after"):
        ll = ss.log_likelihood(MODEL, X, KEY, max_steps=limit)
    slow = taken > limit
    assert 0 < slow.sum() < 6
    np.testing.assert_array_equal(np.isnan(ll.log_prob), slow)
    np.testing.assert_array_equal(np.asarray(ll.failed_at), np.where(slow, limit, -1))
    assert (np.asarray(ll.reached)[slow] < 1).all()
    np.testing.assert_allclose(ll.log_prob[~slow], fine.log_prob[~slow], rtol=1e-6)


def test_a_model_that_turns_to_nan_is_flagged_soon():
    """Not after max_steps rejected steps, but as soon as no step is small enough; the neighbour is not harmed."""

    def noise(x, t, condition):
        return jnp.where((x[:, :1] > 0) & (t[:, None] > 0.3), jnp.nan, 0.3 * x)

    model = ss.FunctionDenoiser(ss.VP(), noise, predicts="noise")
    x = jnp.array([[0.5, 0.1], [-0.5, 0.2]])
    with pytest.warns(RuntimeWarning, match=r"1 of 2 samples was given up: sample 0 at t = 0\.3"):
        ll = ss.log_likelihood(model, x, KEY)
    assert np.isnan(ll.log_prob[0])
    assert np.isfinite(ll.log_prob[1])
    assert 0 < ll.failed_at[0] < 100
    with pytest.warns(RuntimeWarning, match="given up"):
        assert np.isnan(ss.encode(model, x)[0]).all()


def test_inside_jit_nothing_is_raised_and_nothing_compiled_twice():
    traced = []

    def fn(x, t, condition):
        traced.append(1)
        return 0.3 * x

    model = ss.FunctionDenoiser(ss.VP(), fn, predicts="noise")
    run = jax.jit(lambda model, x: ss.log_likelihood(model, x, KEY))
    ll = run(model, jnp.array([[0.5, 0.1], [np.nan, 0.2]]))
    np.testing.assert_array_equal(np.asarray(ll.failed_at) >= 0, [False, True])
    assert np.isnan(ll.log_prob[1])
    plain = ss.log_likelihood(model, jnp.array([[0.5, 0.1], [0.1, 0.2]]), KEY)
    np.testing.assert_allclose(plain.log_prob[0], ll.log_prob[0], rtol=1e-5)
    count = len(traced)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ss.log_likelihood(model, jnp.array([[0.2, 0.1], [0.3, 0.2]]), jax.random.key(7), rtol=1e-4)
    assert len(traced) == count
