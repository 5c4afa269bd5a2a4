"""What a measurement says of x_0: y = A(x_0) + n, n ~ N(0, std²)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde import pytree
from score_sde.checks import Sample, is_concrete, require
from score_sde.conditions import Condition


@dataclasses.dataclass(frozen=True)
class GaussianLikelihood:
    """p(y | x_0) = N(y; A(x_0), std²). ``std``, in units of model space, is a number, or one for each measurement.

    ``A``: an operator of ``score_sde.inverse``, or any function of a batch (batch, *shape) -> (batch, *measured).
    """

    A: Any
    std: ArrayLike = 0.0

    def __post_init__(self):
        if is_concrete(self.std):
            require(bool(np.all(np.asarray(self.std) >= 0)), f"std = {self.std}; it may not be negative")

    def variance(self, y: Array) -> Array:
        """Σ, in the shape of one measurement or a number."""
        return jnp.asarray(self.std, y.dtype) ** 2

    def residual(self, y: Array, x0: Sample) -> Array:
        """y − A(x_0)."""
        predicted = self.A(x0)
        require(
            predicted.shape == y.shape,
            f'condition["y"] has shape {y.shape}, but A maps x of shape {x0.shape} to {predicted.shape}; give one '
            "measurement for each sample",
        )
        return y - predicted

    def log_prob(self, y: Array, x0: Sample) -> Float[Array, "batch"]:
        """log p(y | x_0)."""
        variance = jnp.broadcast_to(self.variance(y), y.shape[1:])
        each = -0.5 * (self.residual(y, x0) ** 2 / variance + jnp.log(2 * jnp.pi * variance))
        return jnp.sum(each.reshape(len(y), -1), axis=1)


pytree.register(GaussianLikelihood, static_unless_told=False)


def told(condition: Condition, what: str) -> tuple[Array, Condition]:
    """(y, the condition of the model)."""
    there = ", ".join(map(repr, condition)) if isinstance(condition, Mapping) else condition
    require(
        isinstance(condition, Mapping) and "y" in condition,
        f'{what} reads condition["y"], the measurements; the condition has {there}',
    )
    rest = {name: leaf for name, leaf in condition.items() if name != "y"}
    return jnp.asarray(condition["y"]), rest or None
