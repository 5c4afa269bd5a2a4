"""The arguments that all samplers share."""

from collections.abc import Callable
from typing import Literal, TypedDict

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int, PyTree

from score_sde.checks import require
from score_sde.denoiser import Condition, check_condition
from score_sde.samplers import grids

Final = Literal["denoise", "mean", "none"]


class Options(TypedDict, total=False):
    """The arguments that all samplers share."""

    condition: Condition
    """Passed to the model; its leaves are (n, ...)."""
    x_init: Array
    """(n, *shape): the state at time_grid[0], which may lie below t_max. The default is a draw from the prior."""
    time_grid: grids.Grids
    """A function of ``grids`` or an array of times; an array also determines the number of steps."""
    start: int | Array
    """The index of the first sample, or (n,) the index of each. Sample i depends on (key, i) alone."""
    final: Final
    """"denoise" (the default): one more evaluation gives the posterior mean of x_0. "mean": the last step omits its
    noise. "none": x at the last time of the grid."""
    record: Callable[[Array, Array, Array], PyTree] | None
    """Store ``record(t, x_t, x0)`` during sampling; x0 is the posterior mean at x_t. Define it once: a new
    function is compiled again."""
    save_every: int
    """Record every ``save_every``-th step, from the first on."""
    noise: Array | None
    """(steps, draws, n, *shape): standard normal draws to use instead of those made from the key."""
    progress: Callable[[int, int], None] | None
    """Called with (steps done, steps) between compiled chunks of the grid; see ``generate``."""


def indices_of(n: int, start: ArrayLike) -> Int[Array, "n"]:
    """The index of every sample: that of the first, or of each."""
    require(
        jnp.shape(start) in ((), (n,)),
        f"start has shape {jnp.shape(start)}; allowed: () or ({n},), one a sample",
    )
    return jnp.asarray(start, int) + (jnp.arange(n) if jnp.ndim(start) == 0 else 0)


def check_arguments(n, shape, condition, x_init, start, final, save_every) -> tuple[Array, Array | None]:
    """The index of every sample, and x_init as an array; invalid arguments raise a ValueError."""
    require(isinstance(n, int | np.integer) and int(n) >= 1, f"n = {n!r}; give a whole number of samples >= 1")
    require(final in ("denoise", "mean", "none"), f'final = {final!r}; allowed: "denoise", "mean", "none"')
    require(
        isinstance(save_every, int | np.integer) and int(save_every) >= 1,
        f"save_every = {save_every!r}; give a whole number >= 1",
    )
    check_condition(condition, jnp.empty((n, 0)))
    index = indices_of(n, start)
    if x_init is None:
        return index, None
    require(
        jnp.shape(x_init) == (n, *shape), f"x_init has shape {jnp.shape(x_init)}; n = {n} and shape need {(n, *shape)}"
    )
    return index, jnp.asarray(x_init, jnp.result_type(float, jnp.asarray(x_init).dtype))
