"""From what a user gives as ``time_grid`` to an array of times."""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from score_sde.checks import is_concrete, require
from score_sde.sde import SDE

Grid: TypeAlias = Callable[[SDE, int], Array | np.ndarray]
Grids: TypeAlias = Grid | ArrayLike | None


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
