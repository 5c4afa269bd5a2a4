"""Log-densities against the exact ones: the change of variables, the probes and their error bar, the bijection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from tests.conftest import SDES

RNG = np.random.default_rng(0)
MIXTURES = {
    "1-D": ([[-1.0], [0.7]], [0.3, 0.15]),
    "2-D": ([[1.0, 0.5], [-1.0, 0.3], [0.2, -1.2]], [0.3, 0.2, 0.4]),
    "16-D": (RNG.normal(size=(5, 16)) * 0.7, [0.1, 0.2, 0.3, 0.15, 0.4]),
    "8x8x1": (RNG.uniform(-1, 1, size=(6, 8, 8, 1)), [0.1, 0.2, 0.1, 0.15, 0.3, 0.1]),
}


def mixture(name: str) -> ss.analytic.GaussianMixture:
    means, stds = MIXTURES[name]
    return ss.analytic.GaussianMixture(np.asarray(means), np.asarray(stds))


def gap(ll, truth, x, sde) -> np.ndarray:
    """What the change of variables is off by, in nats per dimension."""
    exact = truth.log_prob(x, sde=sde, t=sde.t_min)
    return np.abs(ll.log_prob - ll.prior_mismatch(truth) - exact) / x[0].size


def pairs(*quick: tuple[str, str]) -> list:
    """Every mixture under every SDE. Each pair is a compilation of some seconds, so only a few are quick tests."""
    every = [(name, sde) for name in MIXTURES for sde in SDES]
    return [pytest.param(*pair, marks=[] if pair in quick else pytest.mark.slow) for pair in every]


@pytest.mark.parametrize(("name", "sde"), pairs(("2-D", "VP"), ("2-D", "VE"), ("8x8x1", "FlowMatching")))
def test_change_of_variables(name, sde):
    sde, truth = SDES[sde], mixture(name)
    x = truth.sample(jax.random.key(0), 16)
    ll = ss.log_likelihood(truth.denoiser(sde), x, jax.random.key(1), divergence="exact")
    assert gap(ll, truth, x, sde).max() <= 1e-3
    assert (ll.failed_at == -1).all()
    assert (ll.reached == sde.t_max).all()
    assert (ll.standard_error == 0).all()
    assert ll.calls == ll.nfe.max()


@pytest.mark.parametrize(("name", "sde"), pairs(("16-D", "VP"), ("1-D", "EDM")))
def test_change_of_variables_in_double(name, sde, x64):
    sde, truth = SDES[sde], mixture(name)
    x = truth.sample(jax.random.key(0), 8)
    ll = ss.log_likelihood(truth.denoiser(sde), x, jax.random.key(1), divergence="exact", rtol=1e-9, atol=1e-9)
    assert gap(ll, truth, x, sde).max() <= 1e-7


def test_prior_mismatch_is_what_ve_owes():
    """Under VE the prior has no data in it: log N(z; 0, S²) − log p_1(z), up to 1.7e-2 nats a dimension."""
    truth, sde = mixture("2-D"), ss.VE()
    x = truth.sample(jax.random.key(0), 16)
    ll = ss.log_likelihood(truth.denoiser(sde), x, jax.random.key(1), divergence="exact")
    z = np.asarray(ll.latent, np.float64)[:, None]
    variances = np.array([0.3, 0.2, 0.4]) ** 2 + 2500.0
    squared = ((z - np.array(MIXTURES["2-D"][0])) ** 2).sum(axis=-1)
    density = (np.exp(-squared / (2 * variances)) / (2 * np.pi * variances)).mean(axis=1)
    prior = -(z[:, 0] ** 2).sum(axis=-1) / 5000 - np.log(2 * np.pi * 2500)
    np.testing.assert_allclose(ll.prior_mismatch(truth), prior - np.log(density), atol=2e-5)
    assert np.abs(prior - np.log(density)).max() > 5e-3


# A correlated Gaussian, whose divergence has a variance that is known: probes do not see its trace alone.

TARGET = ss.analytic.Gaussian(np.zeros(6), 0.3 * np.eye(6) + 0.2)


@pytest.mark.parametrize("distribution", ["rademacher", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_many_probes_are_unbiased_and_their_error_bar_is_right(distribution):
    """256 samples with 16 probes each: (estimate − exact)/error is Student's t with 15 degrees of freedom."""
    x, model = TARGET.sample(jax.random.key(0), 256), TARGET.denoiser(ss.VP())
    ll = ss.log_likelihood(model, x, jax.random.key(2), probes=16, distribution=distribution)
    exact = TARGET.log_prob(x, sde=ss.VP(), t=1e-5) + ll.prior_mismatch(TARGET)
    pull = np.asarray((ll.log_prob - exact) / ll.standard_error)
    assert abs(np.mean(ll.log_prob - exact)) <= 3 * np.std(ll.log_prob - exact) / 16
    assert np.mean(ll.standard_error) > 0.05  # so that there is something to cover
    for level, bound in ((0.5, 0.691), (0.95, 2.131)):  # quantiles of t_15
        covered, spread = np.mean(np.abs(pull) <= bound), np.sqrt(level * (1 - level) / 256)
        assert abs(covered - level) <= 3.5 * spread, level


def test_rademacher_probes_have_no_variance_on_an_isotropic_gaussian():
    truth = ss.analytic.GaussianMixture(np.ones((3, 2)), [0.5] * 3)
    x = truth.sample(jax.random.key(0), 16)
    ll = ss.log_likelihood(truth.denoiser(ss.VP()), x, jax.random.key(1), probes=3)
    assert (ll.standard_error <= 1e-4).all()


def test_a_sample_depends_on_its_own_key_alone():
    """In another order, beside others, it is the same."""
    truth = mixture("2-D")
    model, x = truth.denoiser(ss.VP()), truth.sample(jax.random.key(0), 32)
    first = ss.log_likelihood(model, x[:16], jax.random.key(1), probes=3)
    order = jnp.array([*range(31, 20, -1), 3, 8, 5, 15, 0])
    other = ss.log_likelihood(model, x[order], jax.random.key(1), probes=3, start=order)
    for name in ("log_prob", "latent", "standard_error", "nfe"):
        np.testing.assert_allclose(getattr(other, name)[11:], getattr(first, name)[order[11:]], atol=2e-5)


def test_a_joint_step_size_gives_the_same_density():
    truth = mixture("2-D")
    model, x = truth.denoiser(ss.VP()), truth.sample(jax.random.key(0), 16)
    each, joint = (
        ss.log_likelihood(model, x, jax.random.key(1), divergence="exact", steps=steps) for steps in ("each", "joint")
    )
    np.testing.assert_allclose(joint.log_prob, each.log_prob, atol=2e-3)
    assert len(set(joint.nfe.tolist())) == 1 < len(set(each.nfe.tolist()))
    assert joint.calls == joint.nfe[0]
    assert each.calls == each.nfe.max()


def test_exact_in_chunks_is_exact():
    truth = mixture("2-D")
    model, x = truth.denoiser(ss.VP()), truth.sample(jax.random.key(0), 16)
    run = [ss.log_likelihood(model, x, jax.random.key(1), divergence="exact", chunk=c).log_prob for c in (1, 16)]
    np.testing.assert_allclose(run[0], run[1], atol=2e-3)


@pytest.mark.parametrize("name", ["VP", pytest.param("FlowMatching", marks=pytest.mark.slow)])
def test_encode_and_decode_are_inverse(name):
    truth, sde = mixture("2-D"), SDES[name]
    model, x = truth.denoiser(sde), truth.sample(jax.random.key(0), 16)
    z = ss.encode(model, x, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ss.decode(model, z, rtol=1e-6, atol=1e-6), x, atol=2e-4)
    ll = ss.log_likelihood(model, x, jax.random.key(1))
    np.testing.assert_allclose(z, ll.latent, atol=2e-4)


def test_decode_is_the_samplers_flow():
    truth, sde = mixture("2-D"), ss.VP()
    model, z = truth.denoiser(sde), sde.prior_sample(jax.random.key(0), (16, 2))
    end = {"time_grid": jnp.array([sde.t_max, sde.t_min]), "final": "none"}
    sampled = ss.samplers.ode(model, jax.random.key(1), 16, (2,), x_init=z, rtol=1e-6, atol=1e-6, **end)
    np.testing.assert_allclose(ss.decode(model, z, rtol=1e-6, atol=1e-6), sampled.x, atol=1e-3)


def test_a_condition_goes_with_its_sample():
    """Given the component, the density is that component's Gaussian."""
    truth = mixture("2-D")
    x, label = truth.sample_labelled(jax.random.key(0), 16)
    sde, given = ss.VP(), {"label": label}
    ll = ss.log_likelihood(truth.denoiser(sde), x, jax.random.key(1), given, divergence="exact")
    exact = truth.log_prob(x, sde=sde, t=sde.t_min, condition=given)
    mismatch = sde.prior_log_prob(ll.latent) - truth.log_prob(ll.latent, sde=sde, t=1.0, condition=given)
    np.testing.assert_allclose(ll.log_prob - mismatch, exact, atol=1e-3)


def test_density_integrates_to_one():
    """A model that is no diffusion of anything still has a density: its flow is a bijection. Midpoint rule on a grid."""

    def network(x, noise_level, condition=None, *, dropout_keys=None):
        a = 1.5 * jnp.tanh(x @ jnp.array([[1.0, 0.5], [-0.7, 1.2]]) + 0.3)
        return 0.3 * x + a - 0.2 * jnp.sin(2 * x[:, ::-1])

    model = ss.NetworkDenoiser(ss.VP(t_min=1e-3), network, predicts="edm")
    side, half = 96, 12.0
    points = (np.arange(side) + 0.5) / side * 2 * half - half
    grid = jnp.asarray(np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2), jnp.float32)
    ll = ss.log_likelihood(model, grid, jax.random.key(0), divergence="exact", rtol=1e-4, atol=1e-4)
    density = np.exp(np.asarray(ll.log_prob, np.float64)).reshape(side, side)
    assert density[[0, -1]].max() < 1e-6  # nothing is cut off
    assert abs(density.sum() * (2 * half / side) ** 2 - 1) <= 1e-3


def test_the_last_step_of_a_gaussian():
    """N(0, v): E[log p_s(x_s)] + log α + 1/2 − E‖ε̂ − ε‖²/2 in closed form, and it lies below log p(x_0)."""
    truth, sde, v, x0 = ss.analytic.GaussianMixture([[0.0]], [0.5]), ss.VP(t_min=1e-2), 0.25, 0.3
    x = jnp.full((4096, 1), x0)
    options = {"divergence": "exact", "rtol": 1e-3, "atol": 1e-3}
    ll = ss.log_likelihood(truth.denoiser(sde), x, jax.random.key(2), last_step="bound", **options)
    alpha, sigma = float(sde.alpha(sde.t_min)), float(sde.sigma(sde.t_min))
    variance = alpha**2 * v + sigma**2
    density = -0.5 * (alpha**2 * x0**2 + sigma**2) / variance - 0.5 * np.log(2 * np.pi * variance)
    gain, loss = sigma * alpha * x0 / variance, 1 - sigma**2 / variance  # ε̂ − ε = gain − loss ε
    expected = density + np.log(alpha) + 0.5 - (gain**2 + loss**2) / 2
    assert abs(np.mean(ll.log_prob) - expected) <= 4 * np.std(ll.log_prob) / 64 + 1e-3
    assert expected < float(truth.log_prob(x[:1])[0])
