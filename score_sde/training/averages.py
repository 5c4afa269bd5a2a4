"""Moving averages of the parameters, θ̄ ← β_n θ̄ + (1 − β_n) θ after the n-th step, n = 1, 2, ...

An average is defined by its decay, a function n -> β_n. A training run may keep several averages, each with a name.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from score_sde.checks import require
from score_sde.parameters import Arrays

__all__ = ["constant", "power", "rounds"]  # the names allowed in a config

Decay: TypeAlias = Callable[[Int[Array, ""]], Float[Array, ""]]


def constant(rate: float = 0.9999, *, warmup: bool = True) -> Decay:
    """β_n = rate, or min(rate, (1 + n)/(10 + n)) with the original's warm-up, which forgets the first steps."""
    require(0 <= rate < 1, f"rate = {rate}; allowed: from 0 to below 1, such as 0.9999")

    def decay(n: Int[Array, ""]) -> Float[Array, ""]:
        return jnp.minimum(rate, (1 + n) / (10 + n)) if warmup else jnp.full((), rate, jnp.float32)

    return decay


def power(width: float) -> Decay:
    """β_n = (1 − 1/n)^(γ+1): θ̄_n ∝ Σ k^γ θ_k, a window that grows with n (Karras et al. 2024, section 3.1).

    ``width`` is σ_rel, the standard deviation of the window relative to the length of training, such as 0.05 or 0.1:
    σ_rel² = (γ + 1)/((γ + 2)² (γ + 3)).
    """
    require(0 < width < 0.289, f"width = {width}; allowed: above 0 and below 0.289 (an even window)")
    gamma = exponent(width)

    def decay(n: Int[Array, ""]) -> Float[Array, ""]:
        return (1 - 1 / n) ** (gamma + 1)

    return decay


def rounds(every: int) -> Decay:
    """β_n = 0 at the end of each round of ``every`` steps, else 1: θ̄ is θ as the last round left it, at first θ_0.

    The target of ``losses.few_step.progressive``.
    """
    require(every >= 1, f"every = {every}; allowed: 1 or more steps")

    def decay(n: Int[Array, ""]) -> Float[Array, ""]:
        return jnp.where(n % every == 0, 0.0, 1.0)

    return decay


def exponent(width: float) -> float:
    """γ of a relative width: the root of γ³ + 7γ² + (16 − σ⁻²)γ + (12 − σ⁻²) = 0 above −1/2."""
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(np.max(roots.real))


def update(average: Arrays, parameters: Arrays, decay: Float[Array, ""]) -> Arrays:
    """θ̄ + (1 − β)(θ − θ̄), which leaves θ̄ bitwise unchanged if it equals θ."""
    return {name: mean + (1 - decay) * (parameters[name] - mean) for name, mean in average.items()}
