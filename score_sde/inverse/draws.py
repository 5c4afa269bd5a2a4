"""Draws of x_0 given y by a method of either kind: a posterior denoiser under a sampler, or a sampler of its own.

A posterior denoiser, such as mmps, is a function (model, A, std) -> denoiser. The samplers, such as dps, have the form
(model, key, n, shape, likelihood) -> samples.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.inverse.likelihood import GaussianLikelihood
from score_sde.inverse.particles import particles as groups_of
from score_sde.inverse.twists import Twist
from score_sde.randomness import keys_of
from score_sde.samplers import Samples, dpm_solver


def drawn_by(method: Callable[..., Any], sampler: Callable[..., Samples] = dpm_solver) -> Callable[..., Samples]:
    """The method as a sampler (model, key, n, shape, likelihood, condition=…, start=…) -> Samples.

    ``sampler`` draws from posterior denoisers; methods with a loop of their own do not use it.
    """
    parameters = inspect.signature(method).parameters
    if "likelihood" in parameters:
        return method

    def draw(model, key, n, shape, likelihood, **options) -> Samples:
        given = {"A": likelihood.A, "std": likelihood.std}
        posterior = method(model, **{name: value for name, value in given.items() if name in parameters})
        return sampler(posterior, key, n, shape, **options)

    return draw


def smc(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    likelihood: GaussianLikelihood,
    *,
    condition: Condition,
    particles: int = 64,
    twist: Twist | None = None,
    steps: int = 200,
    threshold: float = 0.5,
    v: float = 0.0,
    start: Any = 0,
) -> Samples:
    """n draws, each one particle of a group of its own (see ``particles``); where a group collapsed, it is told as failed.

    Draws of one group share their errors; these are independent. Draw i depends on (key, i, particles) alone.
    """
    settings = {"particles": particles, "twist": twist, "steps": steps, "threshold": threshold, "v": v, "start": start}
    found = groups_of(model, key, n, shape, likelihood, condition=condition, **settings)
    keys = keys_of(jax.random.fold_in(key, 1 << 21), found.index)
    chosen = jax.vmap(jax.random.categorical)(keys, found.log_weights)
    x = jnp.take_along_axis(found.x, chosen.reshape(n, *(1,) * (found.x.ndim - 1)), axis=1)[:, 0]
    failed_at = jnp.where((found.failed_at < 0) & found.collapsed, found.ess.shape[1] - 1, found.failed_at)
    return Samples(x, found.nfe, jnp.asarray(found.ess.shape[1] + 1), failed_at, found.index)
