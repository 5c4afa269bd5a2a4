"""Fokker-Planck by Monte Carlo: walking dx = f x dt + g dW forward gives the marginal that α and σ state."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import ks_2samp

import score_sde as ss

N, STEPS = 20_000, 2_000


@partial(jax.jit, static_argnames=("n", "steps"))
def simulate(sde, key, x, t_end, n, steps):
    """Euler-Maruyama from t_min to t_end, in equal steps of log-SNR, so that no step changes much."""
    levels = jnp.linspace(sde.log_snr(sde.t_min), sde.log_snr(t_end), steps + 1)
    t = sde.time_of_log_snr(levels)

    def step(x, now):
        t, dt, key = now
        noise = jax.random.normal(key, x.shape)
        return x + sde.drift(x, t) * dt + sde.diffusion(t) * jnp.sqrt(dt) * noise, None

    return jax.lax.scan(step, x, (t[:-1] + jnp.diff(t) / 2, jnp.diff(t), jax.random.split(key, steps)))[0]


def test_forward_simulation_gives_the_stated_marginal(sde):
    """Bounds: 5 standard errors for mean and variance plus 1 % for the step size; Kolmogorov-Smirnov at p > 1e-3."""
    truth = ss.analytic.GaussianMixture([[-1.0], [0.5]], [0.2, 0.1], [0.3, 0.7])
    end = min(sde.t_max_sampling, 0.99) if float(sde.alpha(sde.t_max)) == 0 else sde.t_max
    keys = jax.random.split(jax.random.key(0), 5)
    x0 = truth.sample(keys[0], N)
    start = sde.perturb(x0, sde.t_min, jax.random.normal(keys[1], x0.shape))
    simulated = np.asarray(simulate(sde, keys[2], start, end, N, STEPS))
    exact = np.asarray(sde.perturb(truth.sample(keys[3], N), end, jax.random.normal(keys[4], x0.shape)))

    alpha, sigma = float(sde.alpha(end)), float(sde.sigma(end))
    mean = alpha * (0.3 * -1.0 + 0.7 * 0.5)
    variance = alpha**2 * (0.3 * (0.04 + 1.05**2) + 0.7 * (0.01 + 0.45**2)) + sigma**2
    assert abs(simulated.mean() - mean) < 5 * np.sqrt(variance / N) + 0.01 * np.sqrt(variance)
    assert abs(simulated.var() / variance - 1) < 5 * np.sqrt(2 / N) + 0.01
    assert ks_2samp(simulated[:, 0], exact[:, 0]).pvalue > 1e-3
