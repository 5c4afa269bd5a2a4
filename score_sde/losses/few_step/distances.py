"""How large the error of an example is: functions of the error (batch, *shape) -> (batch,)."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from score_sde.checks import Sample, require, sum_over_sample

__all__ = ["adaptive", "mean_squares", "pseudo_huber"]  # the names allowed in a config

Distance: TypeAlias = Callable[[Sample], Float[Array, "batch"]]


def mean_squares(error: Sample) -> Float[Array, "batch"]:
    """‖e‖²/d."""
    return sum_over_sample(error**2) / max(error[0].size, 1)


def pseudo_huber(c: float | None = None) -> Distance:
    """√(‖e‖² + c²) − c, by default with c = 0.00054 √d (Song & Dhariwal 2024, section 3.3). c = 0: the norm ‖e‖."""
    require(c is None or c >= 0, f"c = {c}; allowed: 0 or more, or None for 0.00054 times the root of the dimension")

    def distance(error: Sample) -> Float[Array, "batch"]:
        width = 0.00054 * error[0].size ** 0.5 if c is None else c
        return jnp.sqrt(sum_over_sample(error**2) + width**2) - width

    return distance


def adaptive(power: float = 1.0, epsilon: float = 0.01) -> Distance:
    """‖e‖²/(sg‖e‖² + ε)^p (Geng et al. 2025, eq. 22).

    With p = 1 its value is near 1 whatever the error. It moves the minimum where the error of an example is random, as it
    is with the velocity of the data: the average of weighted velocities is not the weighted average.
    """
    require(epsilon > 0, f"epsilon = {epsilon}; allowed: above 0")

    def distance(error: Sample) -> Float[Array, "batch"]:
        squared = sum_over_sample(error**2)
        return squared / (jax.lax.stop_gradient(squared) + epsilon) ** power

    return distance
