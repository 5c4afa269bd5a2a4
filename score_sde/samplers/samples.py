"""What every sampler returns, and what belongs to one sample: its latent, its noise, and whether it failed."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, PyTree

from score_sde import pytree
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a sampler returns. A pytree."""

    x: Float[Array, "n *shape"]
    nfe: Int[Array, "n"]
    """Passes forward through the network that each sample needed: a guided model pays two for each call."""
    calls: Int[Array, ""]
    """Batched calls of the model that were made."""
    failed_at: Int[Array, "n"]
    """The step at which a sample became non-finite, or its solver gave up; −1 is fine."""
    index: Int[Array, "n"]
    """Which sample each one is: it depends on (key, index) alone."""
    record: PyTree = None
    """What ``record`` kept, one entry every ``save_every`` steps along the first axis."""
    pullbacks: Int[Array, "n"] | int = 0
    """Pullbacks through the network that each sample needed, by a model that takes gradients."""


pytree.register(Samples, static_unless_told=False)


def trajectory(t: Array, x: Array, x0: Array) -> dict[str, Array]:
    """A ready ``record``: everything, for plots and films."""
    return {"t": t, "x": x, "x0": x0}


def latents(sde: SDE, key: Key[Array, ""], index: Int[Array, "n"], shape: tuple[int, ...], t: ArrayLike) -> Array:
    """Draws of the prior, scaled to σ(t) where sampling begins below t_max_sampling."""
    z = jax.vmap(lambda i: sde.prior_sample(jax.random.fold_in(jax.random.fold_in(key, i), 0), shape))(index)
    return z * (sde.sigma(t) / sde.sigma(sde.t_max_sampling)).astype(z.dtype)


def draw_noise(key: Key[Array, ""], index: Int[Array, "n"], i: ArrayLike, shape: tuple[int, ...], dtype) -> Array:
    """(draws, n, *shape) of standard normal noise for row i of every sample."""

    def one(number: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, number), 1 + i), shape, dtype)

    return jax.vmap(one, out_axes=1)(index)


def note_failures(failed_at: Int[Array, "n"], x: Array, step: ArrayLike) -> Int[Array, "n"]:
    """Note the step for the samples that are not finite now, unless they failed before."""
    finite = jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim)))
    return jnp.where(finite | (failed_at >= 0), failed_at, step)
