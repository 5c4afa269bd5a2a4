"""The variational loss of a model with a learned variance, and the hybrid loss that trains both of its outputs.

(Nichol & Dhariwal 2021, section 3.1.) At level k of the chain, from 0 to N − 1, in bits per dimension:

    L_k = KL(q(x_{k−1} | x_k, x_0) ‖ p(x_{k−1} | x_k)) for k > 0,      L_0 = −log p(x_0 | x_1st level),

where p has the mean of q with x̂ for x_0 and the learned variance (``sde.reverse_step``). L_0 is the mass of a Gaussian
around the level of each pixel. N times the mean of L_k over random k estimates the whole bound without its prior term.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from score_sde.checks import Sample, per_sample, require
from score_sde.denoiser import Condition, Denoiser
from score_sde.losses.denoising import at_random_level, levels_of
from score_sde.losses.intervals import log_mass
from score_sde.sde import SDE
from score_sde.sde.discrete import time_of_level
from score_sde.sde.reverse_step import ReverseStep, learned


class Terms(NamedTuple):
    """Of each example: the mean over dimensions of ‖ε̂ − ε‖², and L_k."""

    squared: Float[Array, "batch"]
    bits: Float[Array, "batch"]


def hybrid(
    model: Denoiser,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    weight: float | None = None,
    levels: int | None = 256,
) -> Float[Array, "batch"]:
    """‖ε̂ − ε‖² + weight L_k at a random level k, where L_k has no gradient through the mean.

    ``weight``: by default N/1000, which makes it a thousandth of the bound. ``levels``: of the data in [−1, 1], not
    dequantised; None: floats, for which L_0 is a density.
    """
    chain = levels_of_chain(model.sde)
    k, noise, model = at_random_level(model, x0, keys)
    terms = variational_at(model, x0, k, noise, condition, levels=levels, detached=True)
    return terms.squared + (chain / 1000 if weight is None else weight) * terms.bits


def variational(
    model: Denoiser,
    x0: Sample,
    keys: Key[Array, "batch"],
    condition: Condition = None,
    *,
    levels: int | None = 256,
) -> Float[Array, "batch"]:
    """N L_k at a random level k: an estimate of the bound in bits per dimension, without the prior term."""
    chain = levels_of_chain(model.sde)
    k, noise, model = at_random_level(model, x0, keys)
    return chain * variational_at(model, x0, k, noise, condition, levels=levels).bits


def variational_at(
    model: Denoiser,
    x0: Sample,
    k: Int[Array | np.ndarray, "batch"],
    noise: Sample,
    condition: Condition = None,
    *,
    levels: int | None = 256,
    detached: bool = False,
) -> Terms:
    """Both terms at level k of each example. ``detached``: L_k has no gradient through x̂."""
    t = time_of_level(k, levels_of_chain(model.sde))
    steps = model.sde.reverse_steps()  # type: ignore[attr-defined]
    step = ReverseStep(*(part[jnp.asarray(k)] for part in steps))
    first = jnp.asarray(k) == 0
    return terms_of_step(model, x0, t, step, first, noise, condition, levels=levels, detached=detached)


def terms_of_step(
    model: Denoiser,
    x0: Sample,
    t: Float[Array, "..."],
    step: ReverseStep,
    first: Bool[Array, "..."],
    noise: Sample,
    condition: Condition = None,
    *,
    levels: int | None,
    detached: bool = False,
    clip: int | float | None = None,
) -> Terms:
    """Both terms of any step of the chain from t; ``first``: where it is the one to the data. ``clip``: of x̂."""
    sde = model.sde
    alpha, sigma = (per_sample(a, x0) for a in (sde.discrete_alpha(t), sde.discrete_sigma(t)))
    x = alpha * x0 + sigma * noise
    x0_hat, noise_hat, outputs = model.on_chain(x, t, condition)
    if clip is not None:
        x0_hat = jnp.clip(x0_hat, -clip, clip)
        noise_hat = (x - alpha * x0_hat) / sigma
    squared = _mean((noise_hat - noise) ** 2)
    x0_hat = jax.lax.stop_gradient(x0_hat) if detached else x0_hat
    log_variance = step.log_variance(learned(outputs))
    small = per_sample(jnp.log(step.small), x)
    gap = (per_sample(step.of_x0, x) * (x0_hat - x0)) ** 2
    kl = (log_variance - small + jnp.exp(small - log_variance) + gap * jnp.exp(-log_variance) - 1) / 2
    first = per_sample(first, x)
    std = jnp.exp(jnp.where(first, log_variance, 0) / 2)
    decoder = -log_mass(x0, x0_hat, std, levels)  # in the first step the mean is x̂ itself
    return Terms(squared, _mean(jnp.where(first, decoder, kl)) / math.log(2))


def levels_of_chain(sde: SDE) -> int:
    """The number of levels of a chain of DDPM's kind; a ValueError without one."""
    require(hasattr(sde, "reverse_steps"), f"{type(sde).__name__} has no chain of DDPM's kind; use VP or CosineChain")
    return levels_of(sde)


def _mean(x: Sample) -> Float[Array, "batch"]:
    """Over the dimensions of each example."""
    return jnp.mean(x, axis=tuple(range(1, x.ndim)))
