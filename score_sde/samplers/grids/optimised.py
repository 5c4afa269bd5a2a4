"""A grid for one model, one solver and one number of steps: the times that bring samples closest to the exact flow."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.optimize import minimize

from score_sde.checks import require
from score_sde.denoiser import Condition, Denoiser
from score_sde.randomness import check_key
from score_sde.samplers.grids.fixed import log_snr, native
from score_sde.samplers.grids.resolve import Grid
from score_sde.sde import SDE

Sampler = Callable[..., Any]
FREE_END = 1e-3
"""The part of the range of log-SNR that is at first left out at the end."""


def optimised(
    model: Denoiser,
    key: Key[Array, ""],
    steps: int,
    shape: tuple[int, ...],
    sampler: Sampler,
    *,
    condition: Condition = None,
    n: int = 32,
    exact_steps: int = 256,
    begin: Sequence[Grid] = (native, log_snr),
    iterations: int = 150,
) -> Float[np.ndarray, "points"]:
    """The times (steps + 1,) that minimise the mean of ‖x − x*‖ over n latents, by L-BFGS from each of ``begin``.

    x is the sample by ``sampler`` on the grid, x* by the same sampler in ``exact_steps`` steps, uniform in log-SNR: the
    exact flow, for solvers that converge to it. The gradient goes through all steps, so memory grows with steps · n.
    ``sampler``: deterministic, such as ``functools.partial(ss.samplers.dpm_solver, order=4, form="data")``.

    The log-SNRs are λ_i = λ_0 + (λ_max − λ_0) Σ_{j<=i} softmax(θ)_j. The last of steps + 1 parts lies beyond λ_N: a grid
    may end at a noise from which one denoising is accurate enough.
    """
    check_key(key)
    require(
        n >= 1 and exact_steps > steps, f"n = {n}, exact_steps = {exact_steps}; allowed: n >= 1, exact_steps > steps"
    )
    sde = model.sde
    exact = sampler(model, key, n, shape, time_grid=np.asarray(log_snr(sde, exact_steps)), condition=condition).x

    @jax.jit
    def objective(theta: Array, model: Denoiser, exact: Array) -> Array:
        out = sampler(model, key, n, shape, time_grid=_times(sde, theta), condition=condition)
        error = jnp.mean((out.x - exact) ** 2, axis=tuple(range(1, out.x.ndim)))
        return jnp.log(jnp.mean(jnp.sqrt(error)))  # the mean log would be rough: zeros of single latents attract it

    value_and_gradient = jax.jit(jax.value_and_grad(objective))

    def in_numpy(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(jnp.asarray(theta, jnp.float32), model, exact)
        if not np.isfinite(value) or not np.isfinite(gradient).all():  # a step too far of the line search
            return 1e6, np.zeros_like(theta)
        return float(value), np.asarray(gradient, np.float64)

    starts = [_theta(sde, np.asarray(grid(sde, steps))) for grid in begin]
    options = {"maxiter": iterations}
    found = [minimize(in_numpy, start, jac=True, method="L-BFGS-B", options=options) for start in starts]
    best = min(found, key=lambda each: each.fun).x
    return np.asarray(_times(sde, jnp.asarray(best, jnp.float32)), np.float64)


def _times(sde: SDE, theta: Array) -> Array:
    first, last = sde.log_snr(jnp.asarray([sde.t_max_sampling, sde.t_min_sampling]))
    share = jnp.cumsum(jax.nn.softmax(theta))[:-1]
    later = sde.time_of_log_snr(first + (last - first) * share)
    return jnp.concatenate([jnp.asarray([sde.t_max_sampling], later.dtype), later])


def _theta(sde: SDE, times: np.ndarray) -> np.ndarray:
    """θ of a grid, its end moved a little inwards."""
    log_snrs = np.asarray(sde.log_snr(jnp.asarray(times)), np.float64)
    parts = np.diff(log_snrs) / (log_snrs[-1] - log_snrs[0])
    return np.log(np.append(parts * (1 - FREE_END), FREE_END))
