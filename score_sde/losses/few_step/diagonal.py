"""Learning the diagonal s = t, where a flow map is a denoiser: from data, from a teacher, or along straightened ways."""

import jax
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.flow_map import FlowMap
from score_sde.losses.few_step.distances import Distance, mean_squares
from score_sde.losses.few_step.pairs import Pairs, Sorted
from score_sde.losses.few_step.parts import dropped, needs_teacher, noise_of, of_pair, point_of
from score_sde.losses.weightings import Weighting, snr_plus_one
from score_sde.samplers import heun


def diagonal(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    pairs: Pairs = Sorted(equal=1.0),  # noqa: B008
    weighting: Weighting = snr_plus_one,
    distance: Distance = mean_squares,
) -> Float[Array, "batch"]:
    """w(t) ‖ε̂(x_t, t, t) − ε‖², ``denoising`` at s = t; with a teacher, its ε̂ in the place of ε.

    With a teacher that is guided by a scale which the student is told, it is the first stage of guided distillation
    (Meng et al. 2023, section 3.1).
    """
    (model,) = dropped(keys, model)
    at = point_of(model.sde, x0, keys, pairs)
    target = (x0, at.noise) if teacher is None else jax.lax.stop_gradient(teacher.predict(at.x, at.t, condition))
    found = model.predict(at.x, at.t, at.t, condition)
    return distance(of_pair(model.sde, at.t, found, target, weighting))


def reflow(
    model: FlowMap,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    teacher: Denoiser | None = None,
    steps: int = 20,
    pairs: Pairs = Sorted(equal=1.0),  # noqa: B008
    weighting: Weighting = snr_plus_one,
    distance: Distance = mean_squares,
) -> Float[Array, "batch"]:
    """``diagonal`` on pairs (z, x_0 = X(z)) of the teacher's flow, which straightens it (Liu et al. 2023, algorithm 1).

    X takes ``steps`` steps of Heun's method in every training step. Of ``x0`` only the shape and the condition are used.
    """
    teacher, z = needs_teacher(teacher, "reflow"), noise_of(x0, keys)
    start, shape = z * model.sde.sigma(model.sde.t_max_sampling), x0.shape[1:]
    made = heun(teacher, jax.random.key(0), len(z), shape, steps=steps, condition=condition, x_init=start).x
    (model,) = dropped(keys, model)
    t, _ = pairs.draw(model.sde, keys)
    found = model.predict(model.sde.perturb(made, t, z), t, t, condition)
    return distance(of_pair(model.sde, t, found, (jax.lax.stop_gradient(made), z), weighting))
