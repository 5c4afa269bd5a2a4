"""The result of a sampler, and the quantities of each sample: its latent, its noise, and whether it failed."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, PyTree

from score_sde import pytree
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class Samples:
    """The result of a sampler. A pytree."""

    x: Float[Array, "n *shape"]
    nfe: Int[Array, "n"]
    """Forward passes through the network for each sample; a guided model makes two per call."""
    calls: Int[Array, ""]
    """The number of batched calls of the model."""
    failed_at: Int[Array, "n"]
    """The step at which a sample became non-finite or its solver gave up, or −1."""
    index: Int[Array, "n"]
    """The index of each sample, which depends on (key, index) alone."""
    record: PyTree = None
    """The results of ``record``, one entry per ``save_every`` steps along the first axis."""
    pullbacks: Int[Array, "n"] | int = 0
    """Pullbacks through the network for each sample, in a model that takes gradients."""


pytree.register(Samples, static_unless_told=False)


def trajectory(t: Array, x: Array, x0: Array) -> dict[str, Array]:
    """A ``record`` of everything, for plots and films."""
    return {"t": t, "x": x, "x0": x0}


def latents(sde: SDE, key: Key[Array, ""], index: Int[Array, "n"], shape: tuple[int, ...], t: ArrayLike) -> Array:
    """Draws from the prior, scaled to σ(t) if sampling starts below t_max_sampling."""
    z = jax.vmap(lambda i: sde.prior_sample(jax.random.fold_in(jax.random.fold_in(key, i), 0), shape))(index)
    return z * (sde.sigma(t) / sde.sigma(sde.t_max_sampling)).astype(z.dtype)


def draw_noise(key: Key[Array, ""], index: Int[Array, "n"], i: ArrayLike, shape: tuple[int, ...], dtype) -> Array:
    """(draws, n, *shape) of standard normal noise for row i of every sample."""

    def one(number: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, number), 1 + i), shape, dtype)

    return jax.vmap(one, out_axes=1)(index)


def note_failures(failed_at: Int[Array, "n"], x: Array, step: ArrayLike) -> Int[Array, "n"]:
    """Record the step of the samples that are now non-finite, unless they failed before."""
    finite = jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim)))
    return jnp.where(finite | (failed_at >= 0), failed_at, step)
