"""Compressed sensing by some rows of a Walsh-Hadamard matrix with random signs."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.inverse.operators.base import Operator, as_shape, assign
from score_sde.inverse.operators.mask import random_mask


@dataclasses.dataclass(frozen=True, init=False)
class Walsh(Operator):
    """y = H D x / √n over the n pixels of each channel, with the Hadamard matrix H (in the order of Sylvester) and a
    random sign for each value of x. It is orthogonal, and costs n log₂ n additions.
    """

    signs: Float[Array, "*shape"]

    orthogonal = True

    def __init__(self, shape: tuple[int, ...], *, seed: int):
        shape = as_shape(shape)
        n = _pixels(shape)
        require(
            n.bit_count() == 1,
            f"shape = {shape} has {n} pixels; a Walsh-Hadamard matrix needs a power of 2, as 64 x 64",
        )
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=shape)
        assign(self, shape=shape, signs=jnp.asarray(signs))

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        n = _pixels(self.shape)
        z = x * self.signs.astype(x.dtype)
        half = 1
        while half < n:  # H_{2n} = [[H_n, H_n], [H_n, −H_n]]
            z = z.reshape(n // (2 * half), 2, half, -1)
            z = jnp.stack([z[:, 0] + z[:, 1], z[:, 0] - z[:, 1]], 1)
            half *= 2
        return z.reshape(self.shape) / math.sqrt(n)


def walsh_sensing(shape: tuple[int, ...], measured: float, *, seed: int) -> Operator:
    """A fraction ``measured`` of the rows of ``Walsh``, chosen at random, the same for all channels: A Aᵀ = I."""
    require(0 < measured <= 1, f"measured = {measured}; allowed: above 0, up to 1, a fraction of the rows")
    return random_mask(shape, 1 - measured, seed=seed) @ Walsh(shape, seed=seed + 1)


def _pixels(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:-1]) if len(shape) > 1 else shape[0]
