"""What must hold for every SDE, whatever its parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import score_sde as ss
from tests.conftest import SDES, times


def closed_form(sde, t):
    """F and g² by hand, in float64."""
    t = np.asarray(t, np.float64)
    name = type(sde).__name__
    if name in ("VP", "SubVP"):
        beta = sde.beta_min + t * (sde.beta_max - sde.beta_min)
        integral = t * sde.beta_min + t**2 * (sde.beta_max - sde.beta_min) / 2
        return -beta / 2, beta * (1 if name == "VP" else -np.expm1(-2 * integral))
    if name == "VE":
        growth = np.log(sde.sigma_max / sde.sigma_min)
        return 0 * t, 2 * growth * sde.sigma_min**2 * np.exp(2 * t * growth)
    if name == "EDM":
        return 0 * t, 2 * t
    if name == "FlowMatching":
        return -1 / (1 - t), 2 * t / (1 - t)
    pace = np.pi / 2 / (1 + sde.offset)
    theta = pace * (t + sde.offset)
    return -pace * np.tan(theta), 2 * pace * np.tan(theta)  # dσ²/dt − 2fσ² = −(α²)' − 2f(1 − α²) = −2f


def test_drift_and_diffusion_are_the_closed_forms_in_float32(sde):
    t = times(sde)
    f, g2 = closed_form(sde, t)
    np.testing.assert_allclose(sde.drift_rate(t), f, rtol=1e-4)
    np.testing.assert_allclose(sde.diffusion(t) ** 2, g2, rtol=1e-4)


def test_drift_and_diffusion_are_the_closed_forms_in_float64(sde, x64):
    t = times(sde, dtype=np.float64)
    f, g2 = closed_form(sde, t)
    np.testing.assert_allclose(sde.drift_rate(t), f, rtol=1e-6)
    np.testing.assert_allclose(sde.diffusion(t) ** 2, g2, rtol=1e-6)


betas = st.tuples(st.floats(0.01, 5), st.floats(0, 30)).map(lambda p: {"beta_min": p[0], "beta_max": p[0] + p[1]})
sigmas = st.tuples(st.floats(1e-3, 1), st.floats(1.5, 1e4)).map(lambda p: {"sigma_min": p[0], "sigma_max": p[0] * p[1]})
any_sde = st.one_of(
    betas.map(lambda p: ss.VP(**p)),
    betas.map(lambda p: ss.SubVP(**p)),
    sigmas.map(lambda p: ss.VE(**p)),
    st.floats(0, 0.2).map(lambda offset: ss.Cosine(offset=offset)),
    st.just(ss.EDM()),
    st.just(ss.FlowMatching()),
)
share = st.floats(0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(any_sde, share, share, share)
def test_transitions_compose(sde, a, b, c):
    """From r to s and from s to t is from r to t."""
    with jax.enable_x64(True):
        r, s, t = (sde.t_min + u * (sde.t_max_sampling - sde.t_min) for u in sorted((a, b, c)))
        ratio_rs, variance_rs = sde.transition(s, r)
        ratio_st, variance_st = sde.transition(t, s)
        ratio, variance = sde.transition(t, r)
        np.testing.assert_allclose(ratio, ratio_rs * ratio_st, rtol=1e-9)
        scale = float(sde.sigma(t)) ** 2
        np.testing.assert_allclose(variance, ratio_st**2 * variance_rs + variance_st, rtol=1e-9, atol=1e-13 * scale)


@settings(max_examples=60, deadline=None)
@given(any_sde, share)
def test_derived_coefficients_are_closed_forms_for_any_parameters(sde, u):
    with jax.enable_x64(True):
        t = sde.t_min + u * (sde.t_max_sampling - sde.t_min)
        f, g2 = closed_form(sde, t)
        np.testing.assert_allclose(sde.drift_rate(t), f, rtol=1e-6)
        np.testing.assert_allclose(sde.diffusion(t) ** 2, g2, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(any_sde, st.floats(1e-4, 1.0))
def test_log_snr_and_its_inverse(sde, u):
    with jax.enable_x64(True):
        t = sde.t_min + u * (sde.t_max_sampling - sde.t_min)
        level = sde.log_snr(t)
        np.testing.assert_allclose(level, np.log(sde.alpha(t) ** 2 / sde.sigma(t) ** 2), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(sde.time_of_log_snr(level), t, rtol=1e-7)


def test_transition_from_the_data_is_the_marginal(sde):
    ratio, variance = sde.transition(sde.t_max, 0.0)
    np.testing.assert_allclose(ratio, sde.alpha(sde.t_max) / sde.alpha(0.0), rtol=1e-6)
    expected = sde.sigma(sde.t_max) ** 2 - (ratio * sde.sigma(0.0)) ** 2
    np.testing.assert_allclose(variance, expected, rtol=1e-6)


def test_short_transitions_keep_their_digits(sde):
    """A step of one thousandth of t, float32 against float64."""
    t = times(sde)
    s = (t * np.float32(0.999)).astype(np.float32)
    _, variance = sde.transition(t, s)
    with jax.enable_x64(True):
        _, exact = sde.transition(t.astype(np.float64), s.astype(np.float64))
    np.testing.assert_allclose(variance, exact, rtol=1e-3)


def test_inverse_of_log_snr_has_a_derivative_and_stays_inside(sde):
    middle = float(sde.log_snr(sde.t_max / 3))
    slope = jax.grad(sde.log_snr)(sde.t_max / 3)
    np.testing.assert_allclose(jax.grad(sde.time_of_log_snr)(middle), 1 / slope, rtol=1e-3)
    ends = np.asarray(sde.time_of_log_snr(jnp.array([jnp.inf, 1e6, -1e6, -jnp.inf])))
    np.testing.assert_allclose(ends, [0, 0, sde.t_max, sde.t_max], atol=1e-6)
    assert jax.jit(sde.time_of_log_snr)(jnp.array([0.0, 1.0])).shape == (2,)


def test_ends(sde):
    """α and σ and their derivatives are finite to the very end; f, g and λ where samplers begin."""
    assert 0 <= sde.t_min <= sde.t_min_sampling < sde.t_max_sampling <= sde.t_max
    for t in (sde.t_min, sde.t_max):
        values = [sde.alpha(t), sde.sigma(t), sde.alpha_dot(t), sde.sigma_dot(t)]
        assert np.all(np.isfinite(values)), (t, values)
    for t in (0.0, sde.t_min_sampling, sde.t_max_sampling):
        assert np.isfinite(sde.diffusion(t)), t
        assert np.isfinite(sde.drift_rate(t)), t
        assert sde.drift_rate(t) <= 0, t
    assert float(sde.log_snr(sde.t_max_sampling)) >= -14


def test_named_ends_of_the_paper():
    for sde, end in ((ss.VP(), 1e-3), (ss.SubVP(), 1e-3), (ss.VE(), 1e-5)):
        assert (sde.t_min, sde.t_max, sde.t_min_sampling, sde.t_max_sampling) == (1e-5, 1.0, end, 1.0)
    assert (ss.EDM().t_min, ss.EDM().t_max) == (0.002, 80.0)
    assert ss.VE().sigma(0.0) == pytest.approx(0.01)
    assert ss.FlowMatching().alpha(1.0) == 0
    assert ss.Cosine().alpha(1.0) == 0
    assert ss.Cosine().alpha(0.25) == pytest.approx(np.sin(np.pi * 0.75 / 2))


def test_scalar_and_batched_times_agree_under_jit_vmap_and_grad(sde):
    t = times(sde, 5)
    x = jnp.ones((5, 2, 3))
    for method in ("alpha", "log_alpha", "sigma", "drift_rate", "diffusion", "log_snr", "alpha_dot", "sigma_dot"):
        function = getattr(sde, method)
        batched = function(t)
        assert batched.shape == (5,)
        assert batched.dtype == jnp.float32
        np.testing.assert_allclose(batched, [function(float(each)) for each in t], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batched, jax.vmap(function)(t), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batched, jax.jit(function)(t), rtol=1e-4, atol=1e-6)
        assert np.all(np.isfinite(jax.vmap(jax.grad(function))(t)))
    np.testing.assert_allclose(sde.drift(x, t)[3], sde.drift(x, float(t[3]))[3], rtol=1e-6)
    f, g = jax.jit(lambda sde, x, t: sde.discretize(x, t, 0.9 * t))(sde, x, t)
    assert (f.shape, g.shape) == (x.shape, t.shape)


def test_precision_follows_the_data(sde, x64):
    for dtype in (jnp.float32, jnp.float64):
        x = jnp.ones((2, 3), dtype)
        assert sde.drift(x, 0.5).dtype == dtype
        assert sde.perturb(x, 0.5, x).dtype == dtype
        assert sde.sigma(jnp.asarray(0.5, dtype)).dtype == dtype


def test_prior_samples_follow_the_prior(sde):
    x = sde.prior_sample(jax.random.key(0), (20_000, 2))
    np.testing.assert_allclose(x.std(), float(sde.prior_std), rtol=0.02)
    # E[log p] = −D/2 (log 2π s² + 1), with standard error √(D/2n)
    expected = -np.log(2 * np.pi * float(sde.prior_std) ** 2) - 1
    assert abs(sde.prior_log_prob(x).mean() - expected) < 5 / np.sqrt(20_000)


def test_the_chain_approaches_the_sde():
    """N levels of DDPM's and SMLD's chains move as far as the exact transition, up to O(1/N)."""
    for sde in (ss.VP(num_scales=4000), ss.VE(num_scales=4000)):
        x = jnp.ones((1, 1))
        for t, s in ((0.5, 0.49), (0.9, 0.4)):
            f, g = sde.discretize(x, t, s)
            ratio, variance = sde.transition(t, s)
            np.testing.assert_allclose(1 + f[0, 0], ratio, rtol=1e-2)
            np.testing.assert_allclose(g**2, variance, rtol=5e-3)


def test_a_grid_finer_than_the_chain_keeps_its_pace():
    """500 levels walked in 2000 steps destroy as much as the exact transition."""
    sde = ss.VP(num_scales=500)
    t = jnp.linspace(1.0, 0.0, 2001)
    f, _ = sde.discretize(jnp.ones((2000, 1)), t[:-1], t[1:])
    np.testing.assert_allclose(jnp.sum(jnp.log1p(f)), sde.log_alpha(1.0), rtol=0.02)


@dataclasses.dataclass(frozen=True)
class Gentle(ss.SDE):
    def log_alpha(self, t):
        return -2 * t**2

    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(-4 * t**2))


@dataclasses.dataclass(frozen=True)
class Learned(ss.SDE):
    rate: jax.Array = dataclasses.field(default=None, metadata={"static": False})

    def log_alpha(self, t):
        return -self.rate * t**2

    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(-2 * self.rate * t**2))


def test_a_new_sde_is_two_lines():
    sde = Gentle()
    np.testing.assert_allclose(sde.drift_rate(0.3), -4 * 0.3, rtol=1e-5)
    np.testing.assert_allclose(sde.diffusion(0.3) ** 2, 8 * 0.3, rtol=1e-5)  # variance preserving: g² = −2f
    assert jax.tree.leaves(sde) == []
    assert jax.jit(lambda sde, t: sde.sigma(t))(sde, 0.3) == pytest.approx(float(sde.sigma(0.3)))


def test_a_learned_schedule_keeps_its_parameters_as_leaves():
    sde = Learned(rate=jnp.asarray(2.0))
    gradient = jax.grad(lambda sde: sde.log_alpha(0.5))(sde)
    assert gradient.rate == pytest.approx(-0.25)
    # dt/drate at constant λ, through the inverse
    slope = jax.grad(lambda sde: sde.time_of_log_snr(1.0))(sde).rate
    h = 1e-2
    ahead, behind = (Learned(rate=jnp.asarray(2.0 + d)).time_of_log_snr(1.0) for d in (h, -h))
    assert slope == pytest.approx(float(ahead - behind) / (2 * h), rel=1e-2)


def test_sdes_are_static_pytrees_that_compile_once(sde):
    traces = []

    @jax.jit
    def function(sde, t):
        traces.append(1)
        return sde.sigma(t)

    function(sde, 0.5)
    function(dataclasses.replace(sde), 0.5)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ss.VP(beta_min=3.0, beta_max=1.0), ["beta_min = 3.0", "beta_max = 1.0"]),
        (lambda: ss.SubVP(beta_min=-1.0), ["beta_min = -1.0"]),
        (lambda: ss.VE(sigma_min=0.0), ["sigma_min = 0.0", "0 < sigma_min"]),
        (lambda: ss.VE(sigma_min=5.0, sigma_max=1.0), ["sigma_max = 1.0"]),
        (lambda: ss.VP(num_scales=1), ["num_scales = 1"]),
        (lambda: ss.Cosine(offset=-0.1), ["offset = -0.1"]),
        (lambda: ss.EDM(t_min=100.0), ["t_min = 100.0"]),
        (lambda: ss.EDM(t_max=40.0), ["t_max_sampling = 80.0", "t_max = 40.0"]),
        (lambda: ss.FlowMatching(t_max=2.0), ["t_max = 2.0"]),
        (lambda: ss.VP(beta_min=jnp.asarray(0.1)), ["beta_min"]),
        (lambda: ss.VP().alpha(1.5), ["t = 1.5", "[0, 1]"]),
        (lambda: ss.VP().alpha(jnp.array([0.5, -0.25])), ["t = -0.25"]),
        (lambda: ss.VP().sigma(float("nan")), ["t = nan"]),
        (lambda: ss.EDM().log_snr(81.0), ["t = 81", "[0, 80]"]),
        (lambda: ss.VP().alpha(jnp.ones((2, 2))), ["(2, 2)", "(batch,)"]),
        (lambda: ss.VP().drift(jnp.ones((3, 4)), jnp.ones(2)), ["(2,)", "(3,)"]),
        (lambda: ss.VP().perturb(jnp.ones((3, 4)), 0.5, jnp.ones((3, 5))), ["noise", "(3, 5)"]),
        (lambda: ss.VP().transition(0.2, 0.5), ["s = 0.5", "t = 0.2"]),
        (lambda: ss.VE(t_max=2.0).discretize(jnp.ones((1, 1)), 1.5, 1.4), ["t_max = 2.0"]),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises((ValueError, TypeError)) as error:
        make()
    for word in words:
        assert word in str(error.value)


def test_an_sde_without_its_functions_is_refused():
    with pytest.raises(TypeError, match="alpha"):
        type("Empty", (ss.SDE,), {})


def test_every_sde_is_tested_here():
    assert {type(sde).__name__ for sde in SDES.values()} == {"VP", "SubVP", "VE", "Cosine", "EDM", "FlowMatching"}
