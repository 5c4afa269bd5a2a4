"""One step of a method, and the coefficients that depend on the grid alone.

A step is one interval of the grid; a row is one pass of the loop. Most methods take one row for each step.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from score_sde.checks import require
from score_sde.denoiser import Condition, Denoiser
from score_sde.samplers import grids
from score_sde.sde import SDE


class Step(NamedTuple):
    """One step of a method."""

    x: Any
    mean: Any
    """x without the noise of this step."""
    x0: Any = None
    """The posterior mean at the state before the step, if the method computes it anyway."""
    memory: PyTree = None


@dataclasses.dataclass(frozen=True)
class Method:
    """How to take one step. Its fields are static: they are compiled into the sampler."""

    def default_grid(self, sde: SDE, steps: int) -> Array | np.ndarray:
        return grids.log_snr(sde, steps)

    def plan(self, sde: SDE, times: Array) -> dict[str, Array]:
        """The coefficients that depend only on the grid, one row per step: "t", "s" and the method's own.

        Computed once before the loop, in float64. A method may use more rows than the grid has steps; "step" then
        gives the grid step of each row.
        """
        raise NotImplementedError

    def rows(self, sde: SDE, times: Array | np.ndarray) -> dict[str, Array | np.ndarray]:
        """The plan, evaluated in float64 if the grid is concrete."""
        return dict(grids.in_double(_plan, (sde, times), (self,)))

    @property
    def draws(self) -> int:
        """The number of standard normal draws per row."""
        return 0

    @property
    def evaluations(self) -> int:
        """The number of model evaluations per row."""
        return 1

    @property
    def knows_x0(self) -> bool:
        """Whether a step computes the posterior mean at x_t; if not, recording it costs an evaluation."""
        return True

    def begin(self, x: Array) -> PyTree:
        """The method's memory before the first step."""
        return None

    def step(self, model: Denoiser, x: Array, row: dict, noise: Array, memory: PyTree, condition: Condition) -> Step:
        raise NotImplementedError


def make_rows(method: Method, sde: SDE, times: Array | np.ndarray) -> dict[str, Array | np.ndarray]:
    """The method's plan in the dtype of the times, together with "i", the row number, and "step"."""
    with np.errstate(all="ignore"):  # non-finite values are detected below
        rows = method.rows(sde, times)
    who = type(method).__name__
    missing = {"t", "s"} - set(rows)
    require(not missing, f"the plan of {who} has no row {sorted(missing)}; each step needs its times t and s")
    step = rows.get("step", np.zeros(0, int))
    require(
        jnp.issubdtype(step.dtype, jnp.integer),
        f'the row "step" of the plan of {who} holds {step.dtype}; it is kept for the number of the step, an '
        "integer: rename yours",
    )
    for name, value in rows.items():
        if isinstance(value, np.ndarray) and not np.isfinite(value).all():
            raise ValueError(
                f"the coefficients of {who} are not finite on this time_grid: the log-SNR of "
                f"{type(sde).__name__} is infinite at t = {float(np.ravel(times)[0]):g}. Begin at t_max_sampling = "
                f"{sde.t_max_sampling:g}"
            )
        if jnp.issubdtype(value.dtype, jnp.floating):
            rows[name] = value.astype(times.dtype)
        else:
            rows[name] = value.astype(np.int32)
    number = np.arange(len(rows["t"]), dtype=np.int32)
    return {"step": number, **rows, "i": number}


def _plan(sde: SDE, times: Array, method: Method) -> dict[str, Array]:
    return method.plan(sde, times)
