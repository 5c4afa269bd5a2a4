"""The noise of blind super-resolution: Gaussian, or Poisson as of a sensor that counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int, Key

from score_sde.control.base import grey


def gaussian(key: Key[Array, ""], x: Float[Array, "h w c"], std: Array, alike: Array) -> Float[Array, "h w c"]:
    """x + std ε; with ``alike`` the same ε in all channels."""
    noise = jax.random.normal(key, x.shape)
    return x + std * jnp.where(alike, noise[..., :1], noise)


def poisson(
    key: Key[Array, ""], x: Float[Array, "h w c"], scale: Array, alike: Array, inside: Array
) -> Float[Array, "h w c"]:
    """x + scale (P/v − x) with counts P ~ Poisson(v x), where v is the number of different levels of the picture, rounded up
    to a power of two; with ``alike`` the noise of the grey picture in all channels. ``inside``: the pixels of the picture.
    """
    levels = jnp.round(255 * jnp.clip(x, 0, 1)) / 255
    dull = jnp.broadcast_to(jnp.round(255 * grey(levels))[..., None] / 255, x.shape)
    seen = jnp.where(alike, dull, levels)
    v = 2.0 ** jnp.ceil(jnp.log2(different(seen, inside)))
    noise = counts(key, jnp.round(255 * seen).astype(int), v) / v - seen
    return x + scale * jnp.where(alike, noise[..., :1], noise)


def different(x: Float[Array, "h w c"], inside: Array) -> Array:
    """The number of different 256ths in the pixels that are ``inside``."""
    there = jnp.zeros(256, bool).at[jnp.round(255 * x).astype(int)].max(jnp.broadcast_to(inside, x.shape))
    return there.sum()


MOST = 350
"""Counts of a mean of 256 above it have probability 1e-8."""


def counts(key: Key[Array, ""], levels: Int[Array, "..."], v: Array) -> Int[Array, "..."]:
    """Draws of Poisson(v k/255) for levels k and v a power of two, by bisection in a table of the distribution functions: a
    picture has no more means than levels, and ``jax.random.poisson`` takes many times as long.
    """
    below = jnp.asarray(distribution_functions())[jnp.round(jnp.log2(v)).astype(int)]
    u = jax.random.uniform(key, levels.shape)
    low, high = jnp.zeros_like(levels), jnp.full_like(levels, MOST)
    for _ in range(MOST.bit_length()):
        middle = (low + high) // 2
        beyond = below[levels, middle] < u
        low, high = jnp.where(beyond, middle + 1, low), jnp.where(beyond, high, middle)
    return jnp.minimum(low, MOST)


@functools.cache
def distribution_functions() -> Float[np.ndarray, "powers levels counts"]:
    """P(Poisson(v k/255) <= count) for v = 1, 2, ..., 256."""
    means = np.multiply.outer(2.0 ** np.arange(9), np.arange(256) / 255)
    return scipy.special.pdtr(np.arange(MOST + 1), means[..., None]).astype(np.float32)
