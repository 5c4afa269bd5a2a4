"""x̂, ε̂, score, velocity and everything a network may predict are one thing in different words."""

import dataclasses
import itertools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde import denoiser as rooms
from score_sde.checks import per_sample
from score_sde.denoiser.prediction import Kind, coefficients, decode, encode

KINDS = get_args(Kind)
MIXTURE = ss.analytic.GaussianMixture([[1.0, -0.5], [-0.5, 0.8], [0.0, 0.0]], [0.3, 0.2, 0.5], [0.5, 0.3, 0.2])


def states(sde, t, n=6):
    """Draws of x_t, beside the t of each."""
    keys = jax.random.split(jax.random.key(3), 2)
    x0 = MIXTURE.sample(keys[0], n)
    t = jnp.full((n,), t)
    return sde.perturb(x0, t, jax.random.normal(keys[1], x0.shape)), t


def perfect_network(sde, predicts, sigma_data=0.5):
    """A denoiser that predicts, as a network of this kind would, what the exact one knows."""
    exact = MIXTURE.denoiser(sde)

    def function(x, t, condition):
        x0, noise = exact.predict(x, t, condition)
        return encode(predicts, sde, x0, noise, t, sigma_data)

    return ss.FunctionDenoiser(sde, function, predicts=predicts, sigma_data=sigma_data)


def well_conditioned(sde):
    """A time where α and σ are both of order one."""
    return float(sde.time_of_log_snr(0.0))


def test_predictions_translate_into_each_other(sde):
    """Score -> noise -> data -> v -> velocity -> edm -> score, each from the one before."""
    x, t = states(sde, well_conditioned(sde))
    first = MIXTURE.denoiser(sde).score(x, t)
    chain = ["score", "noise", "data", "v", "velocity", "edm", "score"]
    value = first
    for now, then in itertools.pairwise(chain):
        x0, noise = decode(now, sde, x, value, t)
        value = encode(then, sde, x0, noise, t)
    np.testing.assert_allclose(value, first, rtol=1e-5, atol=1e-5 * float(jnp.abs(first).max()))


@pytest.mark.parametrize("predicts", KINDS)
def test_any_prediction_gives_the_exact_denoiser(sde, predicts):
    exact, model = MIXTURE.denoiser(sde), perfect_network(sde, predicts)
    for t in (well_conditioned(sde), well_conditioned(sde) / 2):
        x, t = states(sde, t)
        for method in ("denoise", "noise", "score", "velocity"):
            value, truth = getattr(model, method)(x, t), getattr(exact, method)(x, t)
            np.testing.assert_allclose(value, truth, atol=2e-5 * float(jnp.abs(truth).max()), err_msg=method)


@pytest.mark.parametrize("predicts", ["v", "velocity", "edm", "data"])
def test_predictions_made_for_it_survive_both_ends(sde, predicts):
    """In float32, at t_min and at t_max (where α may be 0), x̂ and the velocity stay right."""
    exact, model = MIXTURE.denoiser(sde), perfect_network(sde, predicts)
    for t in (sde.t_min, sde.t_max):
        x, t = states(sde, t)
        for method in ("denoise",) if predicts == "data" else ("denoise", "velocity"):
            value, truth = getattr(model, method)(x, t), getattr(exact, method)(x, t)
            scale = max(float(jnp.abs(truth).max()), 1.0)
            np.testing.assert_allclose(value, truth, atol=1e-3 * scale, err_msg=f"{method} at {t[0]}")


def test_analytic_denoisers_are_finite_at_both_ends(sde):
    gaussian = ss.analytic.Gaussian([0.5, -0.5], [[1.0, 0.6], [0.6, 0.5]])
    subspace = ss.analytic.Gaussian([0.5, -0.5], factors=[[1.0, 0.3]])
    for truth in (MIXTURE, gaussian, subspace):
        model = truth.denoiser(sde)
        for t in (sde.t_min, sde.t_max):
            x, t = states(sde, t)
            x0, noise = model.predict(x, t)
            v = encode("v", sde, x0, noise, t)
            for name, value in (("x0", x0), ("noise", noise), ("v", v), ("velocity", model.velocity(x, t))):
                assert np.all(np.isfinite(value)), (truth, t[0], name)


def test_what_a_network_predicts_is_returned_as_it_is(sde):
    x, t = states(sde, 0.3 * sde.t_max)
    value = jax.random.normal(jax.random.key(0), x.shape)
    for predicts, method in (("score", "score"), ("noise", "noise"), ("data", "denoise"), ("velocity", "velocity")):
        model = ss.FunctionDenoiser(sde, lambda x, t, condition: value, predicts=predicts)
        np.testing.assert_array_equal(getattr(model, method)(x, t), value)


def test_velocity_is_the_probability_flow(sde):
    """α' x̂ + σ' ε̂ = f x − g²/2 score (Song et al. 2021, eq. 13)."""
    exact = MIXTURE.denoiser(sde)
    x, t = states(sde, 0.4 * sde.t_max)
    g2 = per_sample(sde.diffusion(t) ** 2, x)
    flow = sde.drift(x, t) - g2 / 2 * exact.score(x, t)
    np.testing.assert_allclose(exact.velocity(x, t), flow, rtol=1e-4, atol=1e-5 * float(jnp.abs(flow).max()))


def test_edm_preconditioning_is_the_papers():
    """Karras et al. 2022, Table 1, for α = 1."""
    sde, sigma, s = ss.EDM(), 1.7, 0.6
    x, t = states(sde, sigma)
    seen = {}

    def network(x, noise_level, condition=None, *, dropout_keys=None):
        seen.update(x=x, noise_level=noise_level)
        return jnp.sin(x)

    model = ss.NetworkDenoiser(sde, network, predicts="edm", sigma_data=s)
    c_skip, c_out = s**2 / (sigma**2 + s**2), sigma * s / np.sqrt(sigma**2 + s**2)
    c_in = 1 / np.sqrt(sigma**2 + s**2)
    np.testing.assert_allclose(model.denoise(x, t), c_skip * x + c_out * jnp.sin(c_in * x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen["x"], c_in * x, rtol=1e-6)
    np.testing.assert_allclose(seen["noise_level"], np.full(6, np.log(sigma) / 4), rtol=1e-5)


def test_noise_levels_are_the_originals():
    t = jnp.array([0.1, 0.5, 1.0])
    np.testing.assert_allclose(rooms.scaled_time(ss.VP(num_scales=10), t), 999 * t)
    np.testing.assert_allclose(rooms.sigma_level(ss.VE(), t), 0.01 * 5000**t, rtol=1e-5)
    np.testing.assert_allclose(rooms.ddpm_label(ss.VP(num_scales=11), t), [1, 5, 10])
    np.testing.assert_allclose(rooms.smld_label(ss.VE(num_scales=11), t), [9, 5, 0])
    np.testing.assert_allclose(rooms.log_noise_level(ss.EDM(), t), np.log(t) / 4, rtol=1e-5)


class Linear(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.Linear(2, 2, rngs=rngs)

    def __call__(self, x, noise_level, condition=None, *, dropout_keys=None):
        y = self.layer(x) + noise_level[:, None]
        if condition is not None:
            y = y + condition["label"][:, None]
        if dropout_keys is not None:
            y = y * jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (2,)))(dropout_keys)
        return y


def test_a_module_is_a_network_and_its_parameters_are_the_leaves():
    model = ss.NetworkDenoiser(ss.VP(), Linear(nnx.Rngs(0)), predicts="noise")
    x = jnp.ones((3, 2))
    assert len(jax.tree.leaves(model)) == 2
    expected = model.network.layer(x) + 999 * 0.5
    np.testing.assert_allclose(model.noise(x, 0.5), expected, rtol=1e-6)
    jitted = jax.jit(lambda model, x, t: model.noise(x, t))
    np.testing.assert_allclose(jitted(model, x, 0.5), expected, rtol=1e-6)
    gradient = jax.grad(lambda model: model.noise(x, 0.5).sum())(model)
    np.testing.assert_allclose(gradient.network.layer.bias[...], [3.0, 3.0])


def test_conditions_and_dropout_travel_beside_x():
    model = ss.NetworkDenoiser(ss.VP(), Linear(nnx.Rngs(0)), predicts="noise")
    x, labels = jnp.ones((3, 2)), jnp.array([0.0, 1.0, 2.0])
    difference = model.noise(x, 0.5, {"label": labels}) - model.noise(x, 0.5)
    np.testing.assert_allclose(difference, labels[:, None] * jnp.ones((1, 2)), atol=1e-4)
    keys = jax.random.split(jax.random.key(0), 3)
    dropped = model.with_dropout(keys).noise(x, 0.5)
    assert 0 < int((dropped == 0).sum()) < 6
    alone = model.with_dropout(keys[1:2]).noise(x[1:2], 0.5)
    np.testing.assert_array_equal(alone, dropped[1:2])
    assert MIXTURE.denoiser(ss.VP()).with_dropout(keys) is not None


@dataclasses.dataclass(frozen=True)
class OnlyMean(ss.Denoiser):
    def denoise(self, x, t, condition=None):
        return 0.5 * x


@dataclasses.dataclass(frozen=True)
class OnlyNoise(ss.Denoiser):
    def noise(self, x, t, condition=None):
        return 0.5 * x


@dataclasses.dataclass(frozen=True)
class Nothing(ss.Denoiser):
    pass


def test_denoise_and_noise_are_each_others_default(sde):
    x, t = states(sde, well_conditioned(sde))
    alpha, sigma = sde.alpha(t)[:, None], sde.sigma(t)[:, None]
    for model in (OnlyMean(sde), OnlyNoise(sde)):
        together = alpha * model.denoise(x, t) + sigma * model.noise(x, t)
        np.testing.assert_allclose(together, x, rtol=1e-5)
        np.testing.assert_allclose(model.score(x, t), -model.noise(x, t) / sigma, rtol=1e-6)
        assert model.velocity(x, t).shape == x.shape
    with pytest.raises(TypeError, match="predict, denoise and noise"):
        Nothing(sde).denoise(x, t)


@pytest.mark.parametrize("predicts", ["noise", "score"])
def test_times_may_be_constants_inside_jit(sde, predicts):
    """An array that the jitted function closes over is known, and looked at, without being computed with."""
    model = perfect_network(sde, predicts)
    x, _ = states(sde, sde.t_max_sampling)
    t = jnp.linspace(0.1, 1.0, len(x)) * sde.t_max_sampling
    inside = jax.jit(lambda x: model.score(x, t))(x)
    np.testing.assert_allclose(inside, model.score(x, t), rtol=2e-4, atol=1e-4)
    ratio, _ = jax.jit(lambda x: sde.transition(t, t / 2))(x)
    np.testing.assert_allclose(ratio, sde.transition(t, t / 2)[0], rtol=1e-5)
    if float(sde.alpha(sde.t_max)) == 0:
        end = jnp.full(len(x), sde.t_max)
        with pytest.raises(ValueError, match="alpha is 0 there"):
            jax.jit(lambda x: model.score(x, end))(x)


def test_mixtures_of_constants_may_be_made_inside_jit():
    made = jax.jit(lambda x: ss.analytic.GaussianMixture(MIXTURE.means, MIXTURE.stds, MIXTURE.weights).log_prob(x))
    x = MIXTURE.means
    np.testing.assert_allclose(made(x), MIXTURE.log_prob(x), rtol=1e-5)


@pytest.mark.parametrize("sde", [ss.Cosine(), ss.FlowMatching()], ids=["Cosine", "FlowMatching"])
@pytest.mark.parametrize("predicts", ["noise", "score"])
def test_noise_and_score_are_refused_where_alpha_is_zero(sde, predicts):
    model = ss.FunctionDenoiser(sde, lambda x, t, condition: x, predicts=predicts)
    with pytest.raises(ValueError, match='"v" or "velocity"'):
        model.velocity(jnp.ones((2, 2)), sde.t_max)
    assert np.all(np.isfinite(model.velocity(jnp.ones((2, 2)), sde.t_max_sampling)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: ss.FunctionDenoiser(ss.VP(), "f", predicts="noise"), ["function"]),
        (lambda x: ss.NetworkDenoiser(ss.VP(), lambda *a, **k: x[:, :1], predicts="v").denoise(x, 0.5), ["(3, 1)"]),
        (lambda x: MIXTURE.denoiser(ss.VP()).denoise(x, jnp.ones(2)), ["(2,)", "(3,)"]),
        (lambda x: MIXTURE.denoiser(ss.VP()).denoise(x, 1.5), ["t = 1.5", "[0, 1]"]),
        (lambda x: MIXTURE.denoiser(ss.VP()).denoise(x, 0.5, {"label": jnp.zeros(2, int)}), ["label", "(2,)", "(3,)"]),
        (lambda x: MIXTURE.denoiser(ss.VP()).denoise(x[:, :1], 0.5), ["(3, 1)", "(2,)"]),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises((ValueError, TypeError)) as error:
        call(jnp.ones((3, 2)))
    for word in words:
        assert word in str(error.value)


def test_unknown_predictions_are_refused():
    with pytest.raises((ValueError, TypeError), match="epsilon"):
        ss.FunctionDenoiser(ss.VP(), lambda x, t, c: x, predicts="epsilon")
    with pytest.raises(ValueError, match="sigma_data = 0"):
        ss.FunctionDenoiser(ss.VP(), lambda x, t, c: x, predicts="edm", sigma_data=0.0)


def test_every_prediction_determines_both_unknowns(sde):
    """The two equations are independent wherever samplers go."""
    t = jnp.linspace(sde.t_min_sampling, sde.t_max_sampling, 9)
    for predicts in KINDS:
        a, b = coefficients(predicts, sde, t)
        assert np.all(np.abs(sde.alpha(t) * b - sde.sigma(t) * a) > 0), predicts


def test_what_a_network_returns_beside_its_prediction_has_a_name():
    """And neither disturbs the other."""
    exact = MIXTURE.denoiser(ss.VP())
    x, t = jax.random.normal(jax.random.key(0), (5, 2)), jnp.linspace(0.1, 0.9, 5)

    def function(x, t, condition):
        return jnp.concatenate([exact.noise(x, t), jnp.cos(x), jnp.sin(x)], axis=-1)

    model = ss.FunctionDenoiser(ss.VP(), function, predicts="noise", beside=("variance", "weight"))
    x0, noise, others = model.predict_all(x, t)
    np.testing.assert_array_equal(noise, exact.noise(x, t))
    np.testing.assert_array_equal(model.noise(x, t), exact.noise(x, t))
    np.testing.assert_allclose(x0, exact.denoise(x, t), atol=1e-5)
    assert others.keys() == {"variance", "weight"}
    np.testing.assert_array_equal(others["weight"], jnp.sin(x))


def test_more_channels_than_the_denoiser_names_are_refused():
    network = ss.networks.NCSNpp(4, 1, nf=4, ch_mult=(1,), num_res_blocks=1, out_channels=2, rngs=nnx.Rngs(0))
    x = jnp.zeros((1, 4, 4, 1))
    with pytest.raises(ValueError, match=r"returned shape \(1, 4, 4, 2\) .* needed: \(1, 4, 4, 1\)\. .*`beside`"):
        ss.NetworkDenoiser(ss.VP(), network, predicts="noise").noise(x, 0.5)
    model = ss.NetworkDenoiser(ss.VP(), network, predicts="noise", beside=("variance",))
    assert model.predict_all(x, 0.5)[2]["variance"].shape == x.shape
