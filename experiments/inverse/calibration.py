"""Simulation-based calibration (Talts et al. 2018): if x_0 ~ p(x), y ~ p(y | x_0) and the draws are from p(x | y), then the
rank of f(x_0) among f(draws) is uniform, for every function f.
"""

import jax.numpy as jnp
import numpy as np
from scipy import stats

BINS = 8
DRAWS = 63
"""Ranks 0 … 63; the central 90 % interval is taken as ranks 3 … 60, which hold 58/64 = 0.906."""


def ranks(problem, x0, y, draws) -> dict[str, np.ndarray]:
    """Of problems (n, d), (n, m) and their draws (n, L, d): ranks (n, .) of coordinates, of log p(x | y) (up to log p(y),
    which is the same for all draws) and of ‖y − A x‖².
    """
    every = jnp.concatenate([x0[:, None], draws], axis=1)
    flat = every.reshape(-1, every.shape[-1])
    many = jnp.repeat(y, every.shape[1], axis=0)
    log_p = problem.prior.log_prob(flat) + problem.likelihood.log_prob(many, flat)
    residual = jnp.sum(problem.likelihood.residual(many, flat) ** 2, axis=1)
    values = {"coordinates": every, "log p": log_p.reshape(*every.shape[:2], 1)}
    values["residual"] = residual.reshape(*every.shape[:2], 1)
    return {name: np.asarray(jnp.sum(v[:, 1:] < v[:, :1], axis=1)) for name, v in values.items()}


def p_value(found: np.ndarray) -> float:
    """Of uniform ranks (n, functions): χ² of each function, the least times their number (Bonferroni)."""
    counts = [np.bincount(column * BINS // (DRAWS + 1), minlength=BINS) for column in found.T]
    return float(min(1.0, len(counts) * min(stats.chisquare(c).pvalue for c in counts)))


def coverage(found: np.ndarray) -> float:
    """The share of ranks in the central 90 % interval; 0.906 if calibrated."""
    return float(np.mean((found >= 3) & (found <= DRAWS - 3)))
