"""Annealed Langevin dynamics: its exact variance on a Gaussian, its bias on a mixture, and the settings of NCSNv2."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.samplers import annealed, annealed_langevin, grids

PUBLISHED = {  # largest distance, pixels, steps: levels, step size ε of the paper's appendix B
    "CIFAR-10": (50.0, 32 * 32 * 3, 5, 232, 6.2e-6),
    "CelebA": (90.0, 64 * 64 * 3, 5, 500, 3.3e-6),
    "bedroom": (190.0, 128 * 128 * 3, 3, 1086, 1.8e-6),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_are_the_published_ones(name):
    largest, dimension, steps, levels, epsilon = PUBLISHED[name]
    sigmas = annealed.noise_levels(largest, 0.01, dimension, overlap=0.567)
    assert abs(len(sigmas) - levels) <= 1
    np.testing.assert_allclose([sigmas[0], sigmas[-1]], [largest, 0.01])
    assert annealed.best_snr(sigmas, steps) == pytest.approx(np.sqrt(epsilon / 2) / 0.01, rel=0.02)
    assert len(annealed.noise_levels(largest, 0.01, dimension)) < levels  # 0.5 is a little less


def test_neighbouring_levels_overlap_as_asked():
    """The norms of noise at one level, among those within three deviations at the level above: by simulation."""
    dimension = 200
    upper, lower = annealed.noise_levels(10.0, 1.0, dimension, overlap=0.7)[:2]
    norms = np.linalg.norm(np.random.default_rng(0).normal(size=(20_000, dimension)), axis=1) * lower
    middle, deviation = np.sqrt(dimension) * upper, upper / np.sqrt(2)
    assert np.mean(np.abs(norms - middle) < 3 * deviation) == pytest.approx(0.7, abs=0.03)


def test_largest_distance():
    x = np.random.default_rng(0).normal(size=(70, 3, 2)) + 100
    brute = max(np.linalg.norm(a - b) for a in x for b in x)
    assert annealed.largest_distance(x, block=16) == pytest.approx(brute, rel=1e-9)


def test_best_step_follows_the_variance():
    """``variance_ratio`` is what T steps do to a variance, one after the other."""
    snr, ratio, steps = 0.2, 1.05, 4
    e, v = 2 * snr**2, ratio**2
    for _ in range(steps):
        v = (1 - e) ** 2 * v + 2 * e
    assert annealed.variance_ratio(snr, ratio, steps) == pytest.approx(v, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: annealed.noise_levels(0.01, 1.0, 3), "0 < smallest < largest"),
        (lambda: annealed.noise_levels(1.0, 0.01, 3, overlap=1.5), "overlap = 1.5"),
        (lambda: annealed.best_snr(np.array([1.0]), 5), "two or more"),
        (lambda: annealed_langevin(GAUSSIAN.denoiser(ss.VP()), jax.random.key(0), 2, (2,), snr=-1.0), "snr = -1.0"),
        (lambda: annealed_langevin(GAUSSIAN.denoiser(ss.EDM()), jax.random.key(0), 2, (2,)), "levels = None"),
    ],
)
def test_bad_settings(call, words):
    with pytest.raises(ValueError, match=words):
        call()


GAUSSIAN = ss.analytic.GaussianMixture([[0.3, -0.2]], [0.5])
SDE = ss.VE(sigma_min=0.2, sigma_max=4.0, num_scales=12)


def test_variance_on_a_gaussian_is_the_recursions():
    """v ← (1 − ε/V)² v + 2 ε with V = c² + σ², level by level; and (c²/V)² v after the last denoising."""
    n, steps, snr = 40_000, 3, 0.3
    v, t = 4.0**2 + 0.0, grids.published(SDE, 12)[:, 0]
    for sigma in np.asarray(SDE.sigma(jnp.asarray(t))):
        V, epsilon = 0.25 + sigma**2, 2 * (snr * sigma) ** 2
        for _ in range(steps):
            v = (1 - epsilon / V) ** 2 * v + 2 * epsilon
    out = annealed_langevin(GAUSSIAN.denoiser(SDE), jax.random.key(1), n, (2,), steps=steps, snr=snr, final="none")
    error = np.sqrt(2 / (2 * n))  # of the share of a variance over two coordinates
    assert float(jnp.mean((out.x - jnp.array([0.3, -0.2])) ** 2)) == pytest.approx(v, rel=5 * error)
    assert out.nfe[0] == 12 * steps
    clean = annealed_langevin(GAUSSIAN.denoiser(SDE), jax.random.key(1), n, (2,), steps=steps, snr=snr)
    shrunk = v * (0.25 / (0.25 + float(SDE.sigma(SDE.t_min)) ** 2)) ** 2
    assert float(jnp.mean((clean.x - jnp.array([0.3, -0.2])) ** 2)) == pytest.approx(shrunk, rel=5 * error)


def test_bias_on_a_mixture_falls_with_the_step():
    """Inside a component of variance V at the last level: V/(1 − ε/(2V)), so half the step leaves half of the excess."""
    mixture = ss.analytic.GaussianMixture([[-4.0, 0.0], [4.0, 0.0]], [0.2, 0.2])
    V, n = 0.2**2 + 0.2**2, 40_000
    excess = {}
    for share, steps in ((1, 20), (2, 40)):
        snr = 0.6 / math.sqrt(share)
        out = annealed_langevin(mixture.denoiser(SDE), jax.random.key(2), n, (2,), steps=steps, snr=snr, final="none")
        inside = out.x - jnp.sign(out.x[:, :1]) * jnp.array([4.0, 0.0])
        excess[share] = float(jnp.mean(inside**2)) / V - 1
        epsilon = 2 * (snr * 0.2) ** 2
        assert excess[share] == pytest.approx(1 / (1 - epsilon / (2 * V)) - 1, abs=5 / np.sqrt(n))
    assert excess[2] / excess[1] == pytest.approx(0.45, abs=0.06)
