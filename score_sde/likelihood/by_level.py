"""The variational bound of a model with a learned variance, level by level (Nichol & Dhariwal 2021)."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from score_sde import pytree
from score_sde.checks import Sample, sum_over_sample
from score_sde.denoiser import Condition, Denoiser, check_condition
from score_sde.losses.variational import levels_of_chain, terms_of_step
from score_sde.randomness import check_key, keys_of
from score_sde.samplers.grids import kept_levels
from score_sde.samplers.options import indices_of
from score_sde.sde.discrete import time_of_level
from score_sde.sde.reverse_step import ReverseStep


@dataclasses.dataclass(frozen=True)
class BoundByLevel:
    """−log p(x_0) <= prior + Σ_k bits_k, in bits per dimension. A pytree."""

    prior: Float[Array, "n"]
    bits: Float[Array, "n kept"]
    squared: Float[Array, "n kept"]
    """The mean over dimensions of ‖ε̂ − ε‖² at each level."""
    levels: Int[Array, "kept"]

    @property
    def total(self) -> Float[Array, "n"]:
        return self.prior + self.bits.sum(axis=1)


pytree.register(BoundByLevel, static_unless_told=False)


def bound_by_level(
    model: Denoiser,
    x0: Sample,
    key: Key[Array, ""],
    condition: Condition = None,
    *,
    sections: str | Sequence[int] | None = None,
    levels: int | None = 256,
    clip: int | float | None = None,
    start: ArrayLike = 0,
    noise: ArrayLike | None = None,
) -> BoundByLevel:
    """One draw of noise and one evaluation at each level of the chain, or of a respaced one (``grids.kept_levels``).

    ``levels``: of the data in [−1, 1]; None: floats. ``clip``: of x̂, 1 in the published figures. ``noise``: (kept, n, ...),
    from the first level on, instead of draws from (key, start + i).
    """
    check_key(key)
    check_condition(condition, x0)
    n = levels_of_chain(model.sde)
    kept = np.arange(n) if sections is None else kept_levels(n, sections)
    index = indices_of(len(x0), start)
    given = None if noise is None else jnp.asarray(noise)
    steps = model.sde.reverse_steps(kept)  # type: ignore[attr-defined]
    return _bound(model, jnp.asarray(x0), key, index, condition, jnp.asarray(kept), steps, given, levels, clip)


@functools.partial(jax.jit, static_argnums=(8, 9))
def _bound(model, x0, key, index, condition, kept, steps: ReverseStep, given, levels, clip) -> BoundByLevel:
    sde = model.sde

    def of_level(row):
        i, k, step, noise = row
        if noise is None:
            noise = jax.vmap(lambda one: jax.random.normal(one, x0.shape[1:], x0.dtype))(
                keys_of(jax.random.fold_in(key, i), index)
            )
        t = jnp.broadcast_to(time_of_level(k, sde.num_scales), x0.shape[:1])
        first = jnp.broadcast_to(i == 0, x0.shape[:1])
        step = ReverseStep(*(jnp.broadcast_to(part, x0.shape[:1]) for part in step))
        return terms_of_step(model, x0, t, step, first, noise, condition, levels=levels, clip=clip)

    squared, bits = jax.lax.map(of_level, (jnp.arange(len(kept)), kept, steps, given))
    t = time_of_level(kept[-1], sde.num_scales)
    alpha2, variance = sde.discrete_alpha(t) ** 2, sde.discrete_sigma(t) ** 2
    size = x0[0].size
    prior = (alpha2 * sum_over_sample(x0**2) / size + variance - 1 - jnp.log(variance)) / (2 * math.log(2))
    return BoundByLevel(prior, bits.T, squared.T, kept)
