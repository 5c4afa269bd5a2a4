"""Time grids: the times t_0 > t_1 > … > t_N between which a sampler takes its N steps.

A grid is a function (sde, steps) -> times, or an array of times. The grids below come from the papers and run from
``t_max_sampling`` to ``t_min_sampling``. Pass one as ``time_grid=ss.samplers.grids.karras``, or pass your own array.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde.checks import is_concrete, require
from score_sde.sde import SDE

Grid: TypeAlias = Callable[[SDE, int], Array | np.ndarray]
Grids: TypeAlias = Grid | ArrayLike | None


def uniform(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in t (Song et al. 2021)."""
    return in_double(_power, (sde,), (steps, 1.0))


def quadratic(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in √t (Song, Meng & Ermon 2021, appendix D.2)."""
    return in_double(_power, (sde,), (steps, 2.0))


def native(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in t^(1/ρ) with the ρ of the SDE's own paper, ``sde.time_power``: 7 for EDM, 1 for the others."""
    return in_double(_power, (sde,), (steps, float(sde.time_power)))


def karras(sde: SDE, steps: int, rho: float = 7.0) -> Float[Array | np.ndarray, "points"]:
    """Uniform in (σ/α)^(1/ρ) (Karras et al. 2022, eq. 5)."""
    return in_double(_karras, (sde,), (steps, float(rho)))


def log_snr(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in λ = log α²/σ² (Lu et al. 2022): the natural grid of the exponential solvers."""
    return in_double(_log_snr, (sde,), (steps,))


def discrete(sde: SDE, steps: int) -> Float[np.ndarray, "points"]:
    """The times of ``steps + 1`` evenly spaced levels of the DDPM (VP) or SMLD (VE) chain, from the last to the first.

    Level k is at t_min + (t_max − t_min) k/(N − 1), just above k/(N − 1), so rounding never selects k − 1.
    """
    levels: int = sde.num_scales  # type: ignore[attr-defined]
    require(steps < levels, f"steps = {steps}; a chain of num_scales = {levels} levels has {levels - 1} steps")
    k = np.round(np.linspace(levels - 1, 0, steps + 1))
    return sde.t_min_sampling + (sde.t_max_sampling - sde.t_min_sampling) * k / (levels - 1)


def published(sde: SDE, steps: int) -> Float[np.ndarray, "steps 2"]:
    """The scheme of the original score_sde code, as pairs (t, s): N steps from N evenly spaced times, t_max down to
    t_min, each of length t_max/N regardless of the spacing.

    The last step ends near 0; ``final="mean"`` omits its noise. Only for ``predictor_corrector``.
    """
    t = np.linspace(sde.t_max_sampling, sde.t_min_sampling, steps)
    return np.stack([t, t - sde.t_max / steps], axis=1)


def resolve(time_grid: Grids, sde: SDE, steps: int, default: Grid, *, pairs: bool = False) -> Array | np.ndarray:
    """The times (N + 1,) of a sampler in the default float dtype, or pairs (N, 2) if ``pairs`` allows them."""
    require(isinstance(steps, int | np.integer) and steps >= 1, f"steps = {steps!r}; give a whole number >= 1")
    grid = default if time_grid is None else time_grid
    times = grid(sde, int(steps)) if callable(grid) else grid
    shape = jnp.shape(times)
    one_row = len(shape) == 1 and shape[0] >= 2
    two_columns = len(shape) == 2 and shape[0] >= 1 and shape[1] == 2
    allowed = "(steps + 1,) decreasing times" + (", or (steps, 2) pairs (t, s)" if pairs else "")
    require(one_row or (pairs and two_columns), f"time_grid has shape {shape}; allowed: {allowed}")
    dtype = jnp.result_type(float)
    if not is_concrete(times):
        return jnp.asarray(times, dtype)
    times = np.asarray(times, dtype)
    check_times(times if one_row else times[:, 0], sde)
    if not one_row:
        require(bool((times[:, 1] < times[:, 0]).all()), "time_grid: a pair (t, s) must step down, s < t")
    return times


def check_times(times: np.ndarray, sde: SDE) -> None:
    """Raise a ValueError unless the times decrease and stay within [t_min, t_max]."""
    low, high = sde.t_min * (1 - 1e-5), sde.t_max * (1 + 1e-6)
    outside = ~((times >= low) & (times <= high))  # NaN counts as outside
    if outside.any():
        i = int(np.argmax(outside))
        raise ValueError(
            f"time_grid[{i}] = {times[i]:g} lies outside [t_min, t_max] = [{sde.t_min:g}, {sde.t_max:g}] of "
            f"{type(sde).__name__}"
        )
    rises = np.diff(times) >= 0
    if rises.any():
        i = int(np.argmax(rises))
        raise ValueError(
            f"time_grid does not decrease: time_grid[{i}] = {times[i]:g}, time_grid[{i + 1}] = {times[i + 1]:g}; "
            "samplers go from noise (large t) to data (small t), so give the times in falling order"
        )


def in_double(function: Callable, arrays: tuple, static: tuple = ()):
    """``function(*arrays, *static)`` in float64, as NumPy arrays, if all arrays are concrete; unchanged otherwise.

    Differences of log-SNRs lose digits in float32, and float64 is cheap for values that depend only on the grid. This
    also works inside an outer jit, as long as the SDE and the times are not themselves traced.
    """
    if not all(is_concrete(leaf) for leaf in jax.tree.leaves(arrays)):
        return function(*arrays, *static)
    # Not jax.ensure_compile_time_eval: it compiles each operation separately, which takes seconds.
    with jax.enable_x64(True), jax.core.eval_context():
        return jax.tree.map(np.asarray, _evaluate(function, static, arrays))


def _call(function: Callable, static: tuple, arrays: tuple):
    return function(*[jnp.asarray(a, float) if isinstance(a, np.ndarray | Array) else a for a in arrays], *static)


_evaluate = jax.jit(_call, static_argnums=(0, 1))


def _power(sde: SDE, steps: int, rho: float) -> Array:
    """t_i = (t_max^(1/ρ) + i/N (t_min^(1/ρ) − t_max^(1/ρ)))^ρ."""
    return jnp.linspace(sde.t_max_sampling ** (1 / rho), sde.t_min_sampling ** (1 / rho), steps + 1) ** rho


def _karras(sde: SDE, steps: int, rho: float) -> Array:
    ends = jnp.exp(-sde.log_snr(_ends(sde)) / (2 * rho))  # (σ/α)^(1/ρ)
    return _between(sde, -2 * rho * jnp.log(jnp.linspace(ends[0], ends[1], steps + 1)))


def _log_snr(sde: SDE, steps: int) -> Array:
    first, last = sde.log_snr(_ends(sde))
    return _between(sde, jnp.linspace(first, last, steps + 1))


def _ends(sde: SDE) -> Array:
    return jnp.asarray([sde.t_max_sampling, sde.t_min_sampling])


def _between(sde: SDE, log_snr: Array) -> Array:
    """The times of these log-SNRs, with the two end points exactly those of the SDE."""
    first, last = _ends(sde)
    return sde.time_of_log_snr(log_snr).at[0].set(first).at[-1].set(last)
