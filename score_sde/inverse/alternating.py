"""Methods with a loop of their own, which alternate between the model and the measurement: DAPS and PnP-DM.

Both need a draw from the law that a Gaussian around z and the measurement have together,

    x ~ N(x; z, r² I) N(y; A x, Σ)   by   x = z' + r² Aᵀ (r² A Aᵀ + Σ)⁻¹ (y' − A z'),  z' = z + r ε_1, y' = y + std ε_2

which is exact for linear A (Matheron's rule).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int, Key

from score_sde.checks import Sample, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.inverse.likelihood import GaussianLikelihood, told
from score_sde.inverse.solvers import CG
from score_sde.randomness import check_key
from score_sde.samplers import Samples, ddim, dpm_solver, grids
from score_sde.samplers.options import indices_of
from score_sde.samplers.samples import draw_noise, latents, note_failures


def daps(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    likelihood: GaussianLikelihood,
    *,
    condition: Condition,
    steps: int = 100,
    ode_steps: int = 5,
    start: ArrayLike = 0,
) -> Samples:
    """Decoupled annealing (Zhang et al. 2024): at each time t of a falling grid, follow the probability flow to x̂_ODE, draw
    x_0 from N(x̂_ODE, σ²/α² I) p(y | x_0), and noise it to the next time s.
    """
    require(ode_steps >= 1, f"ode_steps = {ode_steps}; allowed: 1 or more")
    run = _begun(model, key, n, shape, likelihood, condition, start)
    times = np.asarray(grids.log_snr(model.sde, steps))
    x = latents(model.sde, key, run.indices, shape, times[0])
    failed_at, x0 = note_failures(jnp.full(n, -1), x, 0), x
    low, high = (float(model.sde.log_snr(jnp.asarray(t))) for t in (times[0], times[-1]))
    flow = partial(dpm_solver, model, key, n, shape, order=1, condition=run.rest, start=run.indices)
    for i, t in enumerate(times[:-1]):
        here = low + (high - low) * i / steps
        inner = np.array(model.sde.time_of_log_snr(jnp.linspace(here, high, ode_steps + 1)), np.float64)
        inner[0], inner[-1] = t, times[-1]
        mean = flow(x_init=x, time_grid=inner).x
        noise = draw_noise(key, run.indices, i, (2, *shape), x.dtype)
        ratio = float(model.sde.sigma(t) / model.sde.alpha(t))
        x0 = _drawn(likelihood, mean, run.y, ratio, noise[0], run.noise(i))
        s = times[i + 1]
        x = float(model.sde.alpha(s)) * x0 + float(model.sde.sigma(s)) * noise[1]
        failed_at = note_failures(failed_at, x, i)
    calls = steps * (ode_steps + 1)
    return Samples(x0, jnp.full(n, calls * model.cost.forward), jnp.asarray(calls), failed_at, run.indices)


def pnp_dm(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    likelihood: GaussianLikelihood,
    *,
    condition: Condition,
    sweeps: int = 100,
    rho: tuple[float, float] = (10.0, 0.1),
    denoise_steps: int = 10,
    start: ArrayLike = 0,
) -> Samples:
    """A split Gibbs sampler (Wu et al. 2024): z from N(x, ρ² I) p(y | z), then x from p(x_0 | x_0 + ρ ε = z): DDIM, η = 1.

    ρ falls geometrically over the first three quarters of the sweeps and then stays. Its law is p(x_0 | y) convolved as if
    the measurement saw x_0 through noise ρ: right only for ρ -> 0 and many sweeps.
    """
    require(rho[0] >= rho[1] > 0, f"rho = {rho}; allowed: (first, last) with first >= last > 0")
    run = _begun(model, key, n, shape, likelihood, condition, start)
    sde = model.sde
    largest = float(jnp.exp(-sde.log_snr(jnp.asarray(sde.t_max_sampling)) / 2))
    levels = np.minimum(np.geomspace(*rho, max(3 * sweeps // 4, 1)), largest)
    levels = np.concatenate([levels, np.full(sweeps - len(levels), rho[1])])
    x = latents(sde, key, run.indices, shape, sde.t_max_sampling)
    failed_at = note_failures(jnp.full(n, -1), x, 0)
    end = float(sde.log_snr(jnp.asarray(sde.t_min_sampling)))
    for i, level in enumerate(levels):
        noise = draw_noise(key, run.indices, i, (1, *shape), x.dtype)
        z = _drawn(likelihood, x, run.y, float(level), noise[0], run.noise(i))
        ladder = jnp.linspace(-2 * np.log(level), end, denoise_steps + 1)
        times = np.array(sde.time_of_log_snr(ladder), np.float64)
        times[-1] = sde.t_min_sampling
        x_t = float(sde.alpha(times[0])) * z
        fresh = jax.random.fold_in(run.key, i)
        x = ddim(model, fresh, n, shape, eta=1.0, x_init=x_t, time_grid=times, condition=run.rest, start=run.indices).x
        failed_at = note_failures(failed_at, x, i)
    calls = sweeps * (denoise_steps + 1)
    return Samples(x, jnp.full(n, calls * model.cost.forward), jnp.asarray(calls), failed_at, run.indices)


class _Begun(NamedTuple):
    y: Array
    rest: Condition
    indices: Int[Array, "n"]
    key: Key[Array, ""]

    def noise(self, i: int) -> Array:
        """Noise of the measurements in round i; that of sample k depends on (key, k) alone."""
        return draw_noise(self.key, self.indices, i, (1, *self.y.shape[1:]), self.y.dtype)[0]


def _begun(model, key, n, shape, likelihood, condition, start) -> _Begun:
    """The measurements, the other leaves, the indices, and a key for what the sampler's key does not draw."""
    check_key(key)
    y, rest = told(condition, "this method")
    require(len(y) == n, f'condition["y"] has {len(y)} measurements for n = {n} samples; give one for each')
    likelihood.residual(y, jnp.zeros((n, *shape), y.dtype))  # its shape is checked
    return _Begun(y, rest, indices_of(n, start), jax.random.fold_in(key, 1 << 20))


@jax.jit
def _drawn(likelihood: GaussianLikelihood, z: Sample, y: Array, r: ArrayLike, noise: Array, more: Array) -> Sample:
    """A draw from N(x; z, r² I) N(y; A x, Σ)."""
    A, variance = likelihood.A, likelihood.variance(y)
    about = z + r * noise
    residual = y + jnp.sqrt(variance) * more - A(about)
    _, push = jax.linearize(A, about)
    transposed = jax.linear_transpose(push, about)
    rho = jnp.full(len(z), r, z.dtype) ** 2
    if getattr(A, "structured", False) and variance.ndim == 0:
        w = A.solve(residual, rho, variance)
    else:
        w, _ = CG(50)(lambda v: per_sample(rho, v) * push(transposed(v)[0]) + variance * v, residual)
    return about + per_sample(rho, z) * transposed(w)[0]
