"""SDEdit (Meng et al. 2022): noise is added to a picture, and the model takes it away again.

    x_{t_0} = α x + σ ε at t_0,   then any sampler from t_0 to the data

A picture x ~ p_0 stays a draw of p_0, for every t_0; at t_0 = t_max the result does not depend on x.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key, Shaped

from score_sde.checks import Sample, require
from score_sde.denoiser import Denoiser
from score_sde.randomness import Purpose, for_each, keys_of
from score_sde.samplers import grids
from score_sde.samplers.multistep import dpm_solver
from score_sde.samplers.options import indices_of
from score_sde.samplers.samples import Samples
from score_sde.sde import SDE

POINTS = 1000


def edit(
    model: Denoiser,
    key: Key[Array, ""],
    x: Sample,
    strength: int | float,
    *,
    steps: int = 20,
    sampler: Callable[..., Samples] = dpm_solver,
    grid: Callable[[SDE, int], Any] = grids.log_snr,
    **options: Any,
) -> Samples:
    """Each picture of x (n, *shape), in model space, changed by ``strength``: just above 0 little, with 1 altogether.

    t_0 is where this part of the SDE's own grid (``grids.native``) lies below it. ``steps`` of the sampler are made from t_0
    on, whatever the strength; ``grid`` places them. ``options``: those of the sampler, such as ``condition``.
    """
    require(
        0 < strength <= 1, f"strength = {strength}; allowed: above 0, which changes little, to 1, which keeps nothing"
    )
    require(steps >= 1, f"steps = {steps}; allowed: 1 or more")
    begin = first_time(model.sde, strength)
    below = dataclasses.replace(model.sde, t_max_sampling=begin)
    keys = keys_of(jax.random.fold_in(key, Purpose.SECOND), indices_of(len(x), options.get("start", 0)))
    noise = for_each(keys, Purpose.NOISE, lambda key: jax.random.normal(key, x.shape[1:], x.dtype))
    times = np.asarray(grid(below, steps))
    noisy = model.sde.perturb(x, times[0], noise)
    return sampler(model, key, len(x), x.shape[1:], x_init=noisy, time_grid=times, **options)


def first_time(sde: SDE, strength: int | float) -> float:
    """t_0."""
    times = np.asarray(grids.native(sde, POINTS), np.float64)
    return float(np.interp(strength, np.linspace(0, 1, POINTS + 1), times[::-1]))


def pasted(
    original: Shaped[Array | np.ndarray, "n *shape"],
    edited: Shaped[Array | np.ndarray, "n *shape"],
    mask: Bool[Array | np.ndarray, "..."],
) -> Shaped[Array, "n *shape"]:
    """The edited pictures where the mask is True, and the originals, to the last bit, elsewhere."""
    mask = jnp.asarray(mask)
    axes = original.ndim - mask.ndim
    require(
        mask.dtype == bool and original.shape == edited.shape and axes >= 0,
        f"mask has shape {mask.shape} and type {mask.dtype} beside pictures {original.shape} and {edited.shape}; give bools "
        "that broadcast to the pictures, True where they were edited",
    )
    return jnp.where(jnp.broadcast_to(mask, original.shape), edited, original)
