"""What few-step losses share: the point x_t, velocities, derivatives along the flow, and the unit of their errors.

An error of the velocity is expressed as that of the noise which would cause it on the diagonal,

    e_v = (σ' − α' σ/α) e_ε,

and an error of X(x_t, t, s) as that of the noise of the pair through x_t and X. So the weightings of ``denoising`` mean the
same in all losses, and where s = t the losses are ``denoising``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.flow_map import FlowMap
from score_sde.flow_map.base import slope
from score_sde.losses.few_step.pairs import Pairs
from score_sde.losses.weightings import Weighting
from score_sde.randomness import Purpose, for_each
from score_sde.sde import SDE

Pair = tuple[Sample, Sample]


class Point(NamedTuple):
    """x_t on the way from x_0 to its noise, and the two times."""

    x: Sample
    t: Float[Array, "batch"]
    s: Float[Array, "batch"]
    noise: Sample


def point_of(sde: SDE, x0: Sample, keys: Key[Array, "batch"], pairs: Pairs) -> Point:
    """The point of each example, from its own key."""
    t, s = pairs.draw(sde, keys)
    noise = noise_of(x0, keys)
    return Point(sde.perturb(x0, t, noise), t, s, noise)


def noise_of(x0: Sample, keys: Key[Array, "batch"]) -> Sample:
    """The noise of each example, as in ``denoising``."""
    return for_each(keys, Purpose.NOISE, lambda key: jax.random.normal(key, x0.shape[1:], x0.dtype))


def dropped(keys: Key[Array, "batch"], *models: FlowMap) -> list[FlowMap]:
    """The maps with dropout by the same keys: both sides of a loss have the same mask."""
    return [model.with_dropout(for_each(keys, Purpose.DROPOUT)) for model in models]


def both_sides(keys: Key[Array, "batch"], model: FlowMap, target: FlowMap | None) -> list[FlowMap]:
    """The student, and its target: an average of it, or without one the student itself without gradient."""
    return dropped(keys, model, jax.lax.stop_gradient(model) if target is None else target)


def velocity(sde: SDE, x0: Sample, at: Point, teacher: Denoiser | None, condition: Condition) -> Sample:
    """The teacher's v(x_t, t), or the velocity of the data α' x_0 + σ' ε, whose mean given x_t it is."""
    if teacher is not None:
        return jax.lax.stop_gradient(teacher.velocity(at.x, at.t, condition))
    return per_sample(sde.alpha_dot(at.t), x0) * x0 + per_sample(sde.sigma_dot(at.t), x0) * at.noise


def along(model: FlowMap, at: Point, v: Sample, condition: Condition) -> tuple[Sample, Sample]:
    """(u, dX/dt along the direction v, without gradient): u(x_t, t, s) and ∂X/∂t + (∂X/∂x) v, by one pass in forward mode.

    The true map has dX/dt = 0 along its flow, since X(x_t, t, s) = x_s for all t.
    """
    sde = model.sde

    def pair(x: Array, t: Array) -> Pair:
        return model.predict(x, t, at.s, condition)

    (x0, noise), (dx0, dnoise) = jax.jvp(pair, (at.x, at.t), (v, jnp.ones_like(at.t)))
    of_alpha, of_sigma = (per_sample(slope(f, at.t, at.s), at.x) for f in (sde.alpha, sde.sigma))
    change = per_sample(sde.alpha(at.s), at.x) * dx0 + per_sample(sde.sigma(at.s), at.x) * dnoise
    return of_alpha * x0 + of_sigma * noise, jax.lax.stop_gradient(change)


def of_velocity(sde: SDE, t: Float[Array, "batch"], error: Sample, weighting: Weighting) -> Sample:
    """√w e_ε of an error of the velocity at t."""
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    noise_per_velocity = alpha / (sde.sigma_dot(t) * alpha - sde.alpha_dot(t) * sigma)
    return per_sample(jnp.sqrt(weighting(sde, t)) * noise_per_velocity, error) * error


def of_pair(sde: SDE, t: Float[Array, "batch"], found: Pair, target: Pair, weighting: Weighting) -> Sample:
    """√w e_ε of a pair at t: e_ε = α (α e_ε − σ e_x̂)/(α² + σ²), since α e_x̂ + σ e_ε = 0, keeps its digits at both ends."""
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    scale = jnp.sqrt(weighting(sde, t)) * alpha / (alpha**2 + sigma**2)
    of_x0, of_noise = (a - b for a, b in zip(found, target, strict=True))
    return per_sample(scale * alpha, of_x0) * of_noise - per_sample(scale * sigma, of_x0) * of_x0


def needs_teacher(teacher: Denoiser | None, name: str) -> Denoiser:
    """The teacher, or a ValueError."""
    require(
        teacher is not None,
        f"{name} needs a teacher, whose flow it learns: give config.task.teacher a run, or take a loss that learns from "
        "data, such as mean_flow",
    )
    assert teacher is not None
    return teacher
