"""Variational bounds against the entropy, the log-likelihood, and closed forms of a Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.data import DataScaling

TRUTH = ss.analytic.Gaussian([0.5, -0.3], np.array([[0.25, 0.1], [0.1, 0.16]]))
N = 2048
X = TRUTH.sample(jax.random.key(0), N)


def shortfall(bound) -> tuple[float, float]:
    """E[log p(x) − bound] over the data, and its standard error."""
    short = np.asarray(TRUTH.log_prob(X) - bound.log_prob)
    return float(short.mean()), float(short.std() / np.sqrt(N))


@pytest.mark.parametrize(("name", "variance"), [("VP", "posterior"), ("VE", "posterior"), ("VE", "forward")])
def test_steps_make_the_bound_tight(name, variance):
    """The bound lies below the log-likelihood by what falls like one over the number of steps."""
    model = TRUTH.denoiser({"VP": ss.VP(t_min=1e-3), "VE": ss.VE()}[name])
    gaps = {}
    for steps in (40, 160):
        bound = ss.likelihood.discrete_bound(model, X, jax.random.key(1), steps=steps, variance=variance)
        gaps[steps], error = shortfall(bound)
        assert gaps[steps] >= -3 * error
        assert (bound.nfe == steps + 1).all()
    assert 2.5 <= gaps[40] / gaps[160] <= 6.5


def test_the_continuous_bound_of_the_exact_model_is_the_entropy():
    """With the exact denoiser the reverse SDE is the forward one, so that nothing is lost in the mean over the data."""
    for sde in (ss.VP(), ss.VE(sigma_max=10.0), ss.FlowMatching(t_min=1e-3)):
        gap, error = shortfall(ss.likelihood.continuous_bound(TRUTH.denoiser(sde), X, jax.random.key(1)))
        assert abs(gap) <= 3.5 * error + 2e-3


def test_the_terms_of_a_gaussian():
    """N(0, v) in D dimensions: E‖x̂ − x_0‖² = D vσ²/(α²v + σ²), so the integral is D/2 log (1 + v SNR) at both ends."""
    v, dimensions, sde = 0.25, 3, ss.VP(t_min=1e-3)
    truth = ss.analytic.GaussianMixture(np.zeros((1, dimensions)), [0.5])
    x = truth.sample(jax.random.key(3), 4096)
    bound = ss.likelihood.continuous_bound(truth.denoiser(sde), x, jax.random.key(4), draws=32)
    snr = [float(np.exp(sde.log_snr(t))) for t in (sde.t_min, sde.t_max)]
    diffusion = dimensions / 2 * np.log((1 + v * snr[0]) / (1 + v * snr[1]))
    assert abs(np.mean(bound.diffusion) - diffusion) <= 4 * np.std(bound.diffusion) / 64
    alpha, sigma = float(sde.alpha(1.0)), float(sde.sigma(1.0))
    prior = 0.5 * (alpha**2 * np.sum(np.asarray(x) ** 2, axis=1) + dimensions * (sigma**2 - 1 - np.log(sigma**2)))
    np.testing.assert_allclose(bound.prior, prior, atol=1e-6)
    repeated = ss.likelihood.continuous_bound(truth.denoiser(sde), 0 * x + 0.3, jax.random.key(5), draws=32)
    assert np.std(repeated.diffusion) <= 1.1 * np.mean(repeated.standard_error)  # stratified: the bar is no smaller


def test_the_ddpm_chain_term_by_term():
    """DDPM's L_T and L_{t−1} from its β (Ho et al. 2020, eq. 5-8) in NumPy, for a model that always says ε̂ = 0."""
    sde = ss.VP(num_scales=50)
    model = ss.FunctionDenoiser(sde, lambda x, t, condition: 0 * x, predicts="noise")
    x, betas = jnp.full((512, 2), 0.4), sde.discrete_betas()
    kept = np.cumprod(1 - betas)
    bound = ss.likelihood.discrete_bound(model, x, jax.random.key(0))
    # ‖0 − ε‖² = 2 in the mean; the weight of step k is β²/(2 β̃ (1 − β)(1 − ᾱ)), β̃ = β (1 − ᾱ_{k−1})/(1 − ᾱ_k).
    posterior = betas[1:] * (1 - kept[:-1]) / (1 - kept[1:])
    weight = betas[1:] ** 2 / (2 * posterior * (1 - betas[1:]) * (1 - kept[1:]))
    assert abs(np.mean(bound.diffusion) / (2 * weight.sum()) - 1) <= 4 * np.std(bound.diffusion / weight.sum() / 2) / 22
    prior = 0.5 * 2 * (kept[-1] * 0.16 + (1 - kept[-1]) - 1 - np.log(1 - kept[-1]))
    np.testing.assert_allclose(bound.prior, prior, rtol=1e-4)
    large = ss.likelihood.discrete_bound(model, x, jax.random.key(0), variance="forward")
    r = posterior / betas[1:]
    expected = (2 * weight * r + (r - 1 - np.log(r))).sum()
    assert abs(np.mean(large.diffusion) - expected) <= 4 * np.std(large.diffusion) / 22


@pytest.mark.parametrize("dequantize", [False, True])
def test_the_discrete_decoder_is_a_distribution(dequantize):
    """Whatever x̂ is, the probabilities of the levels sum to one, and the bound on levels lies below log P."""
    scaling, sde = DataScaling(levels=5, dequantize=dequantize), ss.VP(t_min=1e-2)
    levels = np.arange(5, dtype=np.uint8)[:, None]
    fixed = ss.FunctionDenoiser(sde, lambda x, t, condition: 0 * x + 0.23, predicts="data")
    decoder = ss.likelihood.continuous_bound(fixed, levels, jax.random.key(0), draws=1, scaling=scaling).decoder
    total = np.exp(np.asarray(decoder, np.float64)).sum()
    assert abs(total - 1) <= 1e-5
    assert np.isfinite(decoder).all()  # also far in the tails


def test_the_bound_lies_below_the_exact_probability_of_levels():
    """Data that are levels: E[bound] <= −H, with the exact denoiser of the levels themselves it is nearly that."""
    scaling = DataScaling(levels=4)
    p = np.array([0.1, 0.4, 0.3, 0.2])
    points = np.asarray(scaling.forward(np.arange(4)[:, None]))
    model = ss.analytic.GaussianMixture(points, np.full(4, 1e-4), p).denoiser(ss.VP(t_min=1e-4))
    data = np.random.default_rng(0).choice(4, size=(2048, 1), p=p).astype(np.uint8)
    bound = ss.likelihood.continuous_bound(model, data, jax.random.key(0), draws=128, scaling=scaling)
    gap = np.log(p)[data[:, 0]] - np.asarray(bound.log_prob)
    assert abs(gap.mean()) <= 3.5 * gap.std() / np.sqrt(2048) + 2e-3


def test_the_bound_lies_below_the_flows_density_of_the_same_model():
    """In the mean over data the reverse SDE's bound of an exact model is the flow's density too."""
    sde = ss.VP(t_min=1e-3)
    model, x = TRUTH.denoiser(sde), X[:256]
    ll = ss.log_likelihood(model, x, jax.random.key(0), divergence="exact", rtol=1e-4, atol=1e-4)
    coarse = ss.likelihood.discrete_bound(model, x, jax.random.key(1), steps=20).log_prob
    assert np.mean(ll.log_prob - coarse) > 3 * np.std(ll.log_prob - coarse) / 16
