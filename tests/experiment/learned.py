"""A schedule that is trained with the network: an SDE with a leaf."""

import dataclasses

import jax.numpy as jnp
from jax.typing import ArrayLike

import score_sde as ss


@dataclasses.dataclass(frozen=True)
class Learned(ss.SDE):
    """α² = exp(−2 r t²)."""

    rate: ArrayLike = dataclasses.field(default=None, metadata={"static": False})

    def log_alpha(self, t):
        return -self.rate * t**2

    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(-2 * self.rate * t**2))


def learned(rate: float = 4.0) -> Learned:
    """The constructor that a config names."""
    return Learned(rate=jnp.asarray(rate))
