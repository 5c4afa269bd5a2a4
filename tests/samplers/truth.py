"""What the samplers are measured against: formulas in NumPy and float64 that share nothing with the package.

y = x/α has the density Σ w_k N(m_k, (s_k² + σ̃²) I) with σ̃ = σ/α under every SDE, and the probability flow is
dy/d log σ̃ = y − E[x_0 | y]. An SDE enters through α and σ̃ at the two ends alone.
"""

import numpy as np
from scipy.integrate import solve_ivp

import score_sde as ss

MEANS = np.array([[1.0, 0.5], [-1.0, 0.3], [0.2, -1.2]])
STDS = np.array([0.3, 0.2, 0.4])
WEIGHTS = np.array([0.3, 0.3, 0.4])
SDES = {
    "VP": ss.VP(),
    "SubVP": ss.SubVP(),
    "VE": ss.VE(),
    "EDM": ss.EDM(),
    "FlowMatching": ss.FlowMatching(),
    "Cosine": ss.Cosine(),
}


def vp_alpha(t):
    return np.exp(-(t**2) * 19.9 / 4 - t * 0.05)


ALPHA_SIGMA = {
    "VP": lambda t: (vp_alpha(t), np.sqrt(1 - vp_alpha(t) ** 2)),
    "SubVP": lambda t: (vp_alpha(t), 1 - vp_alpha(t) ** 2),
    "VE": lambda t: (1.0, 0.01 * 5000.0**t),
    "EDM": lambda t: (1.0, t),
    "FlowMatching": lambda t: (1 - t, t),
    "Cosine": lambda t: (np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)),
}


def mixture() -> ss.analytic.GaussianMixture:
    return ss.analytic.GaussianMixture(MEANS, STDS, WEIGHTS)


def data_std() -> float:
    mean = WEIGHTS @ MEANS
    return float(np.sqrt(np.mean(WEIGHTS @ (MEANS**2 + STDS[:, None] ** 2) - mean**2)))


def posterior_mean(y: np.ndarray, ratio: float) -> np.ndarray:
    variance = STDS**2 + ratio**2
    deviation = y[:, None] - MEANS
    log_p = np.log(WEIGHTS) - MEANS.shape[1] / 2 * np.log(variance) - 0.5 * (deviation**2).sum(-1) / variance
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return np.einsum("bk,bkd->bd", p, MEANS + (STDS**2 / variance)[:, None] * deviation)


def exact_ode(name: str, x: np.ndarray, t: float, s: float) -> np.ndarray:
    """x_s of the probability flow that is at x_t = x, by DOP853 at 1e-11."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = ALPHA_SIGMA[name](t), ALPHA_SIGMA[name](s)

    def slope(log_ratio: float, flat: np.ndarray) -> np.ndarray:
        y = flat.reshape(x.shape)
        return (y - posterior_mean(y, np.exp(log_ratio))).ravel()

    span = (np.log(sigma_t / alpha_t), np.log(sigma_s / alpha_s))
    start = (np.asarray(x, np.float64) / alpha_t).ravel()
    solution = solve_ivp(slope, span, start, method="DOP853", rtol=1e-11, atol=1e-11)
    return alpha_s * solution.y[:, -1].reshape(x.shape)


def latents(sde: ss.SDE, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2)) * float(sde.prior_std)


def draws(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    k = rng.choice(len(WEIGHTS), size=n, p=WEIGHTS)
    return MEANS[k] + STDS[k, None] * rng.normal(size=(n, 2))


ANGLES = np.pi * np.arange(128) / 128
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)])


def sorted_projections(x: np.ndarray) -> np.ndarray:
    return np.sort(np.asarray(x, np.float32) @ DIRECTIONS.astype(np.float32), axis=0)


def wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over 128 fixed directions of the Wasserstein-1 distance, from sorted projections of equal number."""
    return float(np.abs(a - b).mean())
