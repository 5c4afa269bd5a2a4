"""Losses by the two differential equations of the flow map X(x_t, t, s) (Boffi, Albergo & Vanden-Eijnden 2024).

    Lagrange   ∂X/∂s = v(X, s)                  what leaves x_t moves with the flow
    Euler      ∂X/∂t + (∂X/∂x) v(x_t, t) = 0    where one arrives does not depend on where on the way one starts

The left sides are computed exactly, by forward mode.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.flow_map import FlowMap
from score_sde.losses.few_step.distances import Distance, adaptive, mean_squares
from score_sde.losses.few_step.pairs import Pairs, Sorted
from score_sde.losses.few_step.parts import along, dropped, needs_teacher, of_velocity, point_of, velocity
from score_sde.losses.times import LogitNormal
from score_sde.losses.weightings import Weighting, flow_matching, snr_plus_one


def lagrangian(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    pairs: Pairs = Sorted(equal=0.25),  # noqa: B008
    weighting: Weighting = snr_plus_one,
    distance: Distance = mean_squares,
) -> Float[Array, "batch"]:
    """‖∂X/∂s − v(X, s)‖² with the teacher's v: Lagrangian map distillation (eq. 3.13).

    The gradient passes through X in both terms, as in the paper, and so through the teacher, whose arrays are constant.
    """
    teacher, (model,) = needs_teacher(teacher, "lagrangian"), dropped(keys, model)
    at = point_of(model.sde, x0, keys, pairs)
    x_s, moved = jax.jvp(lambda s: model(at.x, at.t, s, condition), (at.s,), (jnp.ones_like(at.s),))
    error = moved - teacher.velocity(x_s, at.s, condition)
    return distance(of_velocity(model.sde, at.s, error, weighting))


def eulerian(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    pairs: Pairs = Sorted(equal=0.25),  # noqa: B008
    weighting: Weighting = snr_plus_one,
    distance: Distance = mean_squares,
) -> Float[Array, "batch"]:
    """‖u − sg(u + dX/dt)‖², where u + dX/dt = v − (t − s) du/dt: Eulerian map distillation (eq. 3.15), with stopped target.

    Without a teacher v is the velocity of the data, and the loss MeanFlow's (``mean_flow``).
    """
    (model,) = dropped(keys, model)
    at = point_of(model.sde, x0, keys, pairs)
    u, change = along(model, at, velocity(model.sde, x0, at, teacher, condition), condition)
    return distance(of_velocity(model.sde, at.t, u - jax.lax.stop_gradient(u) - change, weighting))


def mean_flow(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    pairs: Pairs = Sorted(LogitNormal(-0.4, 1.0), equal=0.75),  # noqa: B008
    weighting: Weighting = flow_matching,
    distance: Distance = adaptive(),  # noqa: B008
) -> Float[Array, "batch"]:
    """``eulerian`` with the settings of MeanFlow (Geng et al. 2025, algorithm 1), by default from data alone.

    ``adaptive`` with power 1 is the paper's and biases the map; ``mean_squares`` does not.
    """
    options: dict[str, Any] = {"pairs": pairs, "weighting": weighting, "distance": distance}
    return eulerian(model, x0, keys, condition, teacher=teacher, **options)


def improved_mean_flow(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    pairs: Pairs = Sorted(LogitNormal(-0.4, 1.0), equal=0.5),  # noqa: B008
    weighting: Weighting = flow_matching,
    distance: Distance = adaptive(),  # noqa: B008
) -> Float[Array, "batch"]:
    """‖V − v‖², V = u + (t − s) sg(du/dt), the derivative along the model's own v̂ = u(x_t, t, t) (Geng et al. 2025b).

    As dX/dt = v̂ − u − (t − s) du/dt, V = u + sg(v̂ − u − dX/dt). What is regressed on does not depend on the model.
    """
    (model,) = dropped(keys, model)
    at = point_of(model.sde, x0, keys, pairs)
    own = jax.lax.stop_gradient(model.average_velocity(at.x, at.t, at.t, condition))
    u, change = along(model, at, own, condition)
    whole = u + own - jax.lax.stop_gradient(u) - change
    return distance(of_velocity(model.sde, at.t, whole - velocity(model.sde, x0, at, teacher, condition), weighting))
