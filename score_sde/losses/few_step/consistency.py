"""Consistency losses: X(x_t, t, t_min) should not change along the flow.

    distillation  (Song et al. 2023)    x_r by a step of the teacher's flow from x_t
    training      (Song et al. 2023)    x_r = α_r x_0 + σ_r ε with the same x_0 and ε
    easy          (Geng et al. 2025)    training with pairs (t, r) that approach each other as training goes on
    continuous    (Lu & Song 2025)      the limit r → t, by forward mode

Levels are counted as σ̃ = σ/α. The error is that of x̂, in the units of the data.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.flow_map import FlowMap
from score_sde.losses.few_step.distances import Distance, mean_squares, pseudo_huber
from score_sde.losses.few_step.pairs import Pairs, ToData, uniforms
from score_sde.losses.few_step.parts import along, both_sides, dropped, noise_of, of_velocity, point_of, velocity
from score_sde.losses.times import LogNormal
from score_sde.losses.weightings import Weighting, snr_plus_one
from score_sde.sde import SDE

Values: TypeAlias = Float[Array, "..."]
Numbers: TypeAlias = Callable[[ArrayLike], Values]
"""step -> the number of levels."""


def consistency(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    target: FlowMap | None = None,
    step: ArrayLike = 0,
    points: int | Numbers = 18,
    rho: float = 7.0,
    order: Literal[1, 2] = 2,
    distance: Distance = mean_squares,
) -> Float[Array, "batch"]:
    """‖X(x_t, t) − X̄(x_r, r)‖ with t and r neighbours among ``points`` levels (Song et al. 2023, algorithms 2 and 3).

    With a teacher x_r is a step of its flow, by Euler's or Heun's method (``order``); without one, x_0 and ε serve, which is
    training. ``target``: X̄, by default the student itself without gradient. ``points``: a number, or a function of the step
    such as ``doubling(...)``; they are spaced as ``grids.karras``. Between them the map is biased, by first order in their
    distance for training and Euler's method, by second for Heun's.
    """
    sde = model.sde
    number = points(step) if callable(points) else jnp.asarray(points)
    i = jnp.floor(uniforms(keys)[0] * (number - 1))  # 0 is the noisiest level
    t, r = (level_time(sde, (i + k) / (number - 1), rho) for k in (0, 1))
    return _between(model, x0, keys, condition, t, r, teacher, target, order, distance)


def easy_consistency(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    target: FlowMap | None = None,
    step: ArrayLike = 0,
    every: int = 10_000,
    q: float = 2.0,
    k: float = 8.0,
    mean: float = -1.1,
    std: float = 2.0,
    distance: Distance = pseudo_huber(),  # noqa: B008
) -> Float[Array, "batch"]:
    """Easy consistency tuning: ‖X(x_t, t) − X̄(x_r, r)‖/(σ̃_t − σ̃_r), ln σ̃_t ~ N(mean, std²) (Geng et al. 2025, eq. 18).

    σ̃_r = σ̃_t (1 − q^−(stage+1) (1 + k sigmoid(−σ̃_t))), not below 0, stage = step // ``every``: from denoising, where r is
    the end, to consistency.
    """
    sde = model.sde
    t = LogNormal(mean, std).quantile(sde, uniforms(keys)[0])
    sigma_t = jnp.exp(-sde.log_snr(t) / 2)
    sigma_r = nearer_level(sigma_t, jnp.asarray(step) // every, q, k)
    lowest = jnp.exp(-sde.log_snr(jnp.asarray(sde.t_min)) / 2)
    r = jnp.where(sigma_r <= lowest, sde.t_min, sde.time_of_log_snr(-2 * jnp.log(jnp.maximum(sigma_r, lowest))))
    error = _between(model, x0, keys, condition, t, r, None, target, 1, distance)
    return error / (sigma_t - jnp.maximum(sigma_r, 0))


def continuous_consistency(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    step: ArrayLike = 0,
    warmup: int = 10_000,
    c: float = 0.1,
    pairs: Pairs = ToData(LogNormal(-1.0, 1.4)),  # noqa: B008
    weighting: Weighting = snr_plus_one,
    distance: Distance = mean_squares,
) -> Float[Array, "batch"]:
    """‖u − sg(u + g/(‖g‖ + c))‖², g = dX/dt along the flow: continuous-time consistency (Lu & Song 2025, algorithm 1).

    ‖g‖ is the root mean square of g in the units of ``weighting``; c = 0 leaves g as it is. In the first ``warmup`` steps
    the part of g that comes from the derivative of the network grows from 0 to 1, which the loss begins as denoising.
    """
    (model,) = dropped(keys, model)
    at = point_of(model.sde, x0, keys, pairs)
    v = velocity(model.sde, x0, at, teacher, condition)
    u, change = along(model, at, v, condition)
    told = jax.lax.stop_gradient(u)
    ramp = jnp.minimum(1.0, jnp.asarray(step) / warmup) if warmup > 0 else 1.0
    tangent = of_velocity(model.sde, at.t, (v - told) + ramp * (change - (v - told)), weighting)
    if c > 0:
        size = jnp.sqrt(mean_squares(tangent))
        tangent = tangent / per_sample(size + c, tangent)
    return distance(of_velocity(model.sde, at.t, u - told, weighting) - tangent)


def nearer_level(sigma: Values, stage: ArrayLike, q: float = 2.0, k: float = 8.0) -> Values:
    """σ̃_r of ``easy_consistency``."""
    return sigma * (1 - q ** -(jnp.asarray(stage) + 1.0) * (1 + k * jax.nn.sigmoid(-sigma)))


def growing(steps: int, first: int = 2, last: int = 150) -> Numbers:
    """N(k) = ⌈√(k/K ((last + 1)² − first²) + first²) − 1⌉ + 1 (Song et al. 2023, appendix C)."""
    require(steps >= 1 and 2 <= first <= last, f"steps = {steps}, first = {first}, last = {last}: 2 <= first <= last")

    def points(step: ArrayLike) -> Values:
        part = jnp.asarray(step) / steps
        return jnp.ceil(jnp.sqrt(part * ((last + 1) ** 2 - first**2) + first**2) - 1) + 1

    return points


def doubling(steps: int, first: int = 10, last: int = 1280) -> Numbers:
    """N(k) = min(first 2^⌊k/K'⌋, last) + 1, K' = ⌊K/(log₂(last/first) + 1)⌋ (Song & Dhariwal 2024, section 3.4)."""
    require(steps >= 1 and 2 <= first <= last, f"steps = {steps}, first = {first}, last = {last}: 2 <= first <= last")
    each = max(int(steps / (jnp.floor(jnp.log2(last / first)) + 1)), 1)

    def points(step: ArrayLike) -> Values:
        return jnp.minimum(first * 2.0 ** (jnp.asarray(step) // each), last) + 1

    return points


def level_time(sde: SDE, part: Values, rho: float) -> Values:
    """The time at a part of the way from t_max_sampling to t_min, measured by σ̃^(1/ρ)."""
    ends = jnp.asarray([sde.t_max_sampling, sde.t_min])
    first, last = jnp.exp(-sde.log_snr(ends) / (2 * rho))
    t = sde.time_of_log_snr(-2 * rho * jnp.log(first + (last - first) * part))
    return jnp.where(part <= 0, ends[0], jnp.where(part >= 1, ends[1], t))


def _between(model, x0, keys, condition, t, r, teacher, target, order, distance) -> Float[Array, "batch"]:
    """The distance of X at two points of one way."""
    sde = model.sde
    model, target = both_sides(keys, model, target)
    noise = noise_of(x0, keys)
    x_t, end = sde.perturb(x0, t, noise), jnp.full_like(t, sde.t_min)
    if teacher is None:
        x_r = sde.perturb(x0, r, noise)
    else:
        x_r = jax.lax.stop_gradient(_step(teacher, x_t, t, r, condition, order))
    aim = jax.lax.stop_gradient(target(x_r, r, end, condition))
    return distance(model(x_t, t, end, condition) - aim)


def _step(teacher: Denoiser, x_t: Sample, t: Values, r: Values, condition: Condition, order: int) -> Sample:
    """A step of y = x/α along dy/dσ̃ = ε̂."""
    require(order in (1, 2), f"order = {order}; allowed: 1 (Euler), 2 (Heun)")
    sde = teacher.sde
    size = per_sample(jnp.exp(-sde.log_snr(r) / 2) - jnp.exp(-sde.log_snr(t) / 2), x_t)
    alpha_r, y = per_sample(sde.alpha(r), x_t), x_t / per_sample(sde.alpha(t), x_t)
    slope = teacher.noise(x_t, t, condition)
    ahead = alpha_r * (y + size * slope)
    if order == 1:
        return ahead
    return alpha_r * (y + size * (slope + teacher.noise(ahead, r, condition)) / 2)
