"""Denoising score matching (Vincent 2011; Song et al. 2021, eq. 7), continuous and on the original's discrete levels.

The noise, the time and the dropout of an example come from its own key, so a loss does not depend on how a batch
is divided over devices.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from score_sde.checks import Sample, per_sample, require, sum_over_sample
from score_sde.conditions import filled
from score_sde.denoiser import Condition, Denoiser
from score_sde.losses.times import Times, Uniform, span
from score_sde.losses.weightings import Weighting, score_matching
from score_sde.randomness import Purpose, for_each
from score_sde.sde import SDE
from score_sde.sde.discrete import time_of_level

Reduce: TypeAlias = Literal["mean", "half_sum"]


def denoising(
    model: Denoiser,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    weighting: Weighting = score_matching,
    times: Times = Uniform(),  # noqa: B008 (a frozen value)
    reduce: Reduce = "mean",
) -> Float[Array, "batch"]:
    """w(t)/(q(t) (t_end − t_min)) ‖ε̂(x_t, t) − ε‖² with t ~ q: an estimate of ∫ w E‖ε̂ − ε‖² dt/(t_end − t_min).

    ‖·‖² is the mean over the dimensions, or half their sum (``reduce``). For t_end see ``times.span``.
    """
    check_examples(x0, keys)
    u = for_each(keys, Purpose.TIME, jax.random.uniform)
    noise = for_each(keys, Purpose.NOISE, lambda key: jax.random.normal(key, x0.shape[1:], x0.dtype))
    t = times.quantile(model.sde, u)
    first, last = span(model.sde)
    density = times.density(model.sde, t) * (last - first)  # relative to the uniform one
    model = model.with_dropout(for_each(keys, Purpose.DROPOUT))
    return denoising_at(model, x0, t, noise, condition, weighting=weighting, reduce=reduce) / density


def denoising_at(
    model: Denoiser,
    x0: Sample,
    t: ArrayLike,
    noise: Sample,
    condition: Condition = None,
    *,
    weighting: Weighting = score_matching,
    reduce: Reduce = "mean",
) -> Float[Array, "batch"]:
    """w(t) ‖ε̂(x_t, t) − ε‖² at a given time and noise.

    x̂ − x_0 = −σδ and ε̂ − ε = αδ express the same error δ. Each loses precision at one end of time, but
    δ² (α² + σ²) = ‖x̂ − x_0‖² + ‖ε̂ − ε‖² does not.
    """
    sde = model.sde
    t = jnp.broadcast_to(jnp.asarray(t), x0.shape[:1])
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    x0_hat, noise_hat = model.predict(sde.perturb(x0, t, noise), t, condition)
    both = sum_over_sample((x0_hat - x0) ** 2) + sum_over_sample((noise_hat - noise) ** 2)
    squared = alpha**2 * both / (alpha**2 + sigma**2)
    return _reduced(weighting(sde, t) * squared, x0, reduce)


def discrete(
    model: Denoiser,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    reduce: Reduce = "mean",
) -> Float[Array, "batch"]:
    """‖ε̂(x_k, t_k) − ε‖² at a random level k of the SDE's own chain: DDPM's loss for VP, SMLD's for VE.

    It has no weighting.
    """
    k, noise, model = at_random_level(model, x0, keys)
    return discrete_at(model, x0, k, noise, condition, reduce=reduce)


def discrete_at(
    model: Denoiser,
    x0: Sample,
    k: Int[Array | np.ndarray, "batch"],
    noise: Sample,
    condition: Condition = None,
    *,
    reduce: Reduce = "mean",
) -> Float[Array, "batch"]:
    """‖ε̂(x_k, t_k) − ε‖² at level k, counted from the data (SMLD's own label is N − 1 − k), t_k = k/(N − 1)."""
    sde = model.sde
    t = time_of_level(k, levels_of(sde))
    alpha, sigma = per_sample(sde.discrete_alpha(t), x0), per_sample(sde.discrete_sigma(t), x0)
    noise_hat = model.on_chain(alpha * x0 + sigma * noise, t, condition)[1]
    return _reduced(sum_over_sample((noise_hat - noise) ** 2), x0, reduce)


def at_random_level(
    model: Denoiser, x0: Sample, keys: Key[Array, "batch"]
) -> tuple[Int[Array, "batch"], Sample, Denoiser]:
    """A level of the SDE's chain and noise for each example, and the model with its dropout."""
    check_examples(x0, keys)
    levels = levels_of(model.sde)
    k = for_each(keys, Purpose.TIME, lambda key: jax.random.randint(key, (), 0, levels))
    noise = for_each(keys, Purpose.NOISE, lambda key: jax.random.normal(key, x0.shape[1:], x0.dtype))
    return k, noise, model.with_dropout(for_each(keys, Purpose.DROPOUT))


def drop_condition(condition: Condition, keys: Key[Array, "batch"], probability: float, null: Condition) -> Condition:
    """Replace all leaves of the condition by those of ``null`` in a random fraction of the examples.

    ``null`` has the structure of the condition with one value per leaf, e.g. {"label": num_classes}. The network then
    also learns the unconditional score (Ho & Salimans 2021).
    """
    require(0 <= probability <= 1, f"probability = {probability}; allowed: 0 to 1")
    dropped = for_each(keys, Purpose.CONDITION, lambda key: jax.random.bernoulli(key, probability))

    return jax.tree.map(lambda leaf, empty: filled(leaf, empty, dropped), condition, null)


def levels_of(sde: SDE) -> int:
    """The number of levels of the SDE's chain."""
    name = type(sde).__name__
    require(hasattr(sde, "num_scales"), f"{name} has no discrete chain; use losses.denoising, or VP or VE")
    return sde.num_scales  # type: ignore[attr-defined]


def _reduced(squared: Float[Array, "batch"], x0: Sample, reduce: Reduce) -> Float[Array, "batch"]:
    """The mean over the dimensions of each example, or half their sum, as with the original's ``reduce_mean``."""
    require(reduce in ("mean", "half_sum"), f'reduce = {reduce!r}; allowed: "mean", "half_sum"')
    return squared / max(x0[0].size, 1) if reduce == "mean" else squared / 2


def check_examples(x0: Sample, keys: Array) -> None:
    """Raise a ValueError unless x0 holds floats, with one key for each example."""
    require(jnp.issubdtype(x0.dtype, jnp.floating), f"x0 has dtype {x0.dtype}; scale images to floats first")
    require(
        keys.shape == x0.shape[:1], f"keys has shape {keys.shape}; one typed key for each of {x0.shape[0]} examples"
    )
