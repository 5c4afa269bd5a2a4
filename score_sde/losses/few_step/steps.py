"""One step in the place of two: progressive distillation and shortcuts.

Both compare X(x_t, t, s) with a point X̄ that two steps reach, by the pairs through x_t and each of them.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.flow_map import FlowMap
from score_sde.flow_map.base import pair_through
from score_sde.losses.few_step.distances import Distance, mean_squares
from score_sde.losses.few_step.pairs import Pairs, Sorted, uniforms
from score_sde.losses.few_step.parts import both_sides, noise_of, of_pair, point_of
from score_sde.losses.weightings import Weighting, snr_plus_one, truncated_snr
from score_sde.sde import SDE


def progressive(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    target: FlowMap | None = None,
    step: ArrayLike = 0,
    first: int = 32,
    every: int = 2000,
    last: int = 1,
    weighting: Weighting = truncated_snr,
    distance: Distance = mean_squares,
) -> Float[Array, "batch"]:
    """X(x_t, t, s) against two steps t → m → s of the ``target`` (Salimans & Ho 2022, algorithm 2), round after round.

    In round r = step // ``every`` the student takes N = max(first/2^r, last) steps from t_max_sampling to t_min, evenly
    spaced in the angle arctan(σ/α), and the target 2 N. Give as target an average that is the student at the end of the
    last round: config.averages.target = {"name": "rounds", "every": every}. At first that is the student's beginning, the
    teacher's DDIM.
    """
    require(
        last >= 1 and first >= last and (first // last) & (first // last - 1) == 0 and first % last == 0,
        f"first = {first}, last = {last}; allowed: whole numbers with first = last times a power of two",
    )
    sde = model.sde
    model, target = both_sides(keys, model, target)
    steps = jnp.maximum(first * 0.5 ** (jnp.asarray(step) // every), last)
    i = jnp.floor(uniforms(keys)[0] * steps)  # the step, counted from the data
    t, m, s = (time_of_angle(sde, (i + part) / steps) for part in (1.0, 0.5, 0.0))
    noise = noise_of(x0, keys)
    x = sde.perturb(x0, t, noise)
    reached = target(target(x, t, m, condition), m, s, condition)
    aim = jax.lax.stop_gradient(pair_through(sde, x, t, reached, s))
    return distance(of_pair(sde, t, model.predict(x, t, s, condition), aim, weighting))


def shortcut(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    target: FlowMap | None = None,
    pairs: Pairs = Sorted(equal=0.75),  # noqa: B008
    weighting: Weighting = snr_plus_one,
    distance: Distance = mean_squares,
) -> Float[Array, "batch"]:
    """X(x_t, t, s) against X̄(X̄(x_t, t, m), m, s), m = (t + s)/2 (Frans et al. 2025, eq. 5); where s = t against the data.

    ``target``: X̄, by default the student itself without gradient. With a teacher, its denoiser in the place of the data.
    Where s is within 1e-3 of t the data serve too: there two steps and one agree, and their difference has no digits.
    """
    sde = model.sde
    model, target = both_sides(keys, model, target)
    at = point_of(sde, x0, keys, pairs)
    near = at.t - at.s < 1e-3 * sde.t_max
    s, m = jnp.where(near, 0.5 * at.t, at.s), jnp.where(near, 0.75 * at.t, (at.t + at.s) / 2)
    reached = target(target(at.x, at.t, m, condition), m, s, condition)
    two = pair_through(sde, at.x, at.t, reached, s)
    one = (x0, at.noise) if teacher is None else teacher.predict(at.x, at.t, condition)
    aim = jax.tree.map(lambda a, b: jnp.where(per_sample(near, x0), a, b), one, two)
    found = model.predict(at.x, at.t, jnp.where(near, at.t, at.s), condition)
    return distance(of_pair(sde, at.t, found, jax.lax.stop_gradient(aim), weighting))


def time_of_angle(sde: SDE, part: Float[Array, "batch"]) -> Float[Array, "batch"]:
    """The time at a part of the way from t_min to t_max_sampling, measured by the angle arctan(σ/α)."""
    ends = jnp.asarray([sde.t_min, sde.t_max_sampling])
    first, last = jnp.arctan(jnp.exp(-sde.log_snr(ends) / 2))
    t = sde.time_of_log_snr(-2 * jnp.log(jnp.tan(first + (last - first) * part)))
    return jnp.where(part <= 0, ends[0], jnp.where(part >= 1, ends[1], t))
