"""The two times of a few-step loss, t ≥ s, drawn from the example's key.

Unlike the times of ``denoising``, these are not divided out: their density is part of the loss.
"""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from score_sde.checks import require
from score_sde.losses.times import Times, Uniform
from score_sde.randomness import Purpose, for_each
from score_sde.sde import SDE

Two = tuple[Float[Array, "batch"], Float[Array, "batch"]]


@runtime_checkable
class Pairs(Protocol):
    """A law of (t, s)."""

    def draw(self, sde: SDE, keys: Key[Array, "batch"]) -> Two: ...  # numpydoc ignore=GL08


@dataclasses.dataclass(frozen=True)
class Sorted:
    """The larger and the smaller of two draws; in the fraction ``equal`` of the examples s = t (Geng et al. 2025)."""

    times: Times = Uniform()  # noqa: RUF009 (a frozen value)
    equal: float = 0.0

    def __post_init__(self):
        require(0 <= self.equal <= 1, f"equal = {self.equal}; allowed: 0 to 1, the fraction of examples with s = t")

    def draw(self, sde: SDE, keys: Key[Array, "batch"]) -> Two:
        u = uniforms(keys)
        one, other = (self.times.quantile(sde, each) for each in u[:2])
        t, s = jnp.maximum(one, other), jnp.minimum(one, other)
        return t, jnp.where(u[2] < self.equal, t, s)


@dataclasses.dataclass(frozen=True)
class ToData:
    """t from a density, s = t_min: the pairs of consistency models."""

    times: Times = Uniform()  # noqa: RUF009 (a frozen value)

    def draw(self, sde: SDE, keys: Key[Array, "batch"]) -> Two:
        t = self.times.quantile(sde, uniforms(keys)[0])
        return t, jnp.full_like(t, sde.t_min)


def uniforms(keys: Key[Array, "batch"]) -> Float[Array, "three batch"]:
    """Three uniform numbers for each example."""
    return for_each(keys, Purpose.TIME, lambda key: jax.random.uniform(key, (3,))).T
