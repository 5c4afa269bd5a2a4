"""What is sampled: deterministic solvers against the exact flow, stochastic ones against exact draws."""

from functools import cache

import diffrax
import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde.samplers import Ancestral, EulerMaruyama, Langevin, ReverseDiffusion
from tests.samplers.truth import SDES, data_std, draws, exact_ode, latents, mixture, sorted_projections, wasserstein

S, KEY = ss.samplers, jax.random.key(1)
DETERMINISTIC = {
    "ddim": (S.ddim, {}),
    "heun": (S.heun, {}),
    "dpm_solver": (S.dpm_solver, {}),
    "dpm_solver 2": (S.dpm_solver, {"order": 2, "steps": 25}),
    "dpm_solver 4": (S.dpm_solver, {"order": 4}),
    "unipc": (S.unipc, {}),
    "ode": (S.ode, {}),
    "adaptive heun": (S.ode, {"rtol": 1e-3, "atol": 1e-3, "solver": diffrax.Heun()}),
    "flow by euler": (S.reverse_sde, {"stochasticity": 0.0}),
    "reverse diffusion flow": (S.predictor_corrector, {"predictor": ReverseDiffusion(probability_flow=True)}),
}
STOCHASTIC = {
    "euler_maruyama": (S.predictor_corrector, {"predictor": EulerMaruyama()}),
    "reverse_diffusion": (S.predictor_corrector, {"predictor": ReverseDiffusion()}),
    "ancestral posterior": (S.predictor_corrector, {"predictor": Ancestral()}),
    "ancestral forward": (S.predictor_corrector, {"predictor": Ancestral("forward")}),
    "reverse euler 0.5": (S.reverse_sde, {"stochasticity": 0.5}),
    "reverse heun": (S.reverse_sde, {"rule": "heun"}),
    "ddim eta 1": (S.ddim, {"eta": 1.0}),
    "ddim eta 0.5": (S.ddim, {"eta": 0.5}),
    "heun churn": (S.heun, {"s_churn": 40.0}),
    "2M SDE": (S.dpm_solver, {"order": 2, "stochasticity": 1.0}),
}


@pytest.mark.parametrize("solver", DETERMINISTIC)
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in ("VP", "EDM") else pytest.mark.slow) for n in SDES])
def test_same_latent_same_sample(name, solver):
    sampler, options = DETERMINISTIC[solver]
    sde = SDES[name]
    z = latents(sde, 256)
    exact = exact_ode(name, z, sde.t_max_sampling, sde.t_min_sampling)
    x = sampler(mixture().denoiser(sde), KEY, 256, (2,), x_init=z.astype(np.float32), **options).x
    distance = np.sqrt(np.mean((np.asarray(x) - exact) ** 2, axis=1))
    assert np.median(distance) <= 0.05 * data_std()


@cache
def exact_distances(n: int) -> tuple[np.ndarray, float]:
    """One exact set, and the 99th percentile of the distances of 200 exact pairs (of 21 sets)."""
    sets = [sorted_projections(draws(n, seed)) for seed in range(21)]
    pairs = [(i, j) for i in range(21) for j in range(i)][:200]
    return sets[0], float(np.percentile([wasserstein(sets[i], sets[j]) for i, j in pairs], 99))


def check_law(name: str, solver: str, n: int) -> None:
    sampler, options = STOCHASTIC[solver]
    out = sampler(mixture().denoiser(SDES[name]), KEY, n, (2,), steps=1000, **options)
    exact, limit = exact_distances(n)
    assert (np.asarray(out.failed_at) == -1).all()
    assert wasserstein(sorted_projections(np.asarray(out.x)), exact) <= limit + 0.01 * data_std()


@pytest.mark.slow
@pytest.mark.parametrize("solver", STOCHASTIC)
@pytest.mark.parametrize("name", SDES)
def test_law_of_stochastic_samplers(name, solver):
    check_law(name, solver, 20_000)


@pytest.mark.parametrize(("name", "solver"), [("VP", "ancestral posterior"), ("EDM", "heun churn"), ("VE", "2M SDE")])
def test_law_of_a_few(name, solver):
    check_law(name, solver, 2000)


@pytest.mark.slow
@pytest.mark.parametrize("name", SDES)
def test_law_of_the_adaptive_sde(name):
    out = S.adaptive_sde(mixture().denoiser(SDES[name]), KEY, 20_000, (2,))
    exact, limit = exact_distances(20_000)
    assert (np.asarray(out.failed_at) == -1).all()
    assert wasserstein(sorted_projections(np.asarray(out.x)), exact) <= limit + 0.01 * data_std()


@pytest.mark.parametrize("name", ["VP", "VE"])
def test_langevin_inflates_the_variance(name):
    """Norms of the score itself: 1/(1 − snr²) all the way to the data."""
    snr, std = 0.3, 0.7
    model = ss.analytic.GaussianMixture(np.zeros((1, 64)), np.array([std]), np.array([1.0])).denoiser(SDES[name])
    out = S.predictor_corrector(
        model, KEY, 400, (64,), steps=500, corrector=Langevin(snr, norms="batch"), final="none"
    )  # fmt: skip
    assert abs(np.var(np.asarray(out.x)) / std**2 - 1 / (1 - snr**2)) < 0.02


def test_langevin_alone_at_one_time():
    """The default rule in equilibrium at one time: 1/(1 − a snr² σ²/V) of V = α² std² + σ²."""
    sde, snr, std, t = ss.VE(), 0.3, 0.5, 0.6
    model = ss.analytic.GaussianMixture(np.zeros((1, 64)), np.array([std]), np.array([1.0])).denoiser(sde)
    grid = np.tile([[t, t - 1e-3]], (400, 1))
    corrector = Langevin(snr)
    x = np.zeros((400, 64), np.float32)
    state = jax.numpy.asarray(x)
    step = jax.jit(corrector.step)
    for i in range(200):
        state, _ = step(model, state, grid[0, 0], grid[0, 1], jax.random.normal(jax.random.key(i), x.shape))
    variance = std**2 + float(sde.sigma(t)) ** 2
    expected = 1 / (1 - snr**2 * float(sde.sigma(t)) ** 2 / variance)
    assert abs(np.var(np.asarray(state)) / variance - expected) < 0.02
