"""Time grids: the times t_0 > t_1 > … > t_N between which a sampler takes its N steps.

A grid is a function (sde, steps) -> times, or an array of times. Pass one as ``time_grid=ss.samplers.grids.karras``, or
pass your own array; ``optimised`` finds one for a model and a solver.
"""

from score_sde.samplers.grids.fixed import (
    angle,
    discrete,
    given,
    karras,
    kept_levels,
    log_snr,
    native,
    published,
    quadratic,
    respaced,
    uniform,
)
from score_sde.samplers.grids.optimised import optimised
from score_sde.samplers.grids.precision import in_double
from score_sde.samplers.grids.resolve import Grid, Grids, check_times, resolve

__all__ = [
    "Grid",
    "Grids",
    "angle",
    "check_times",
    "discrete",
    "given",
    "in_double",
    "karras",
    "kept_levels",
    "log_snr",
    "native",
    "optimised",
    "published",
    "quadratic",
    "resolve",
    "respaced",
    "uniform",
]
