"""Processes that only add noise, α = 1: VE (SMLD) and EDM."""

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde.checks import Sample, Times, as_step, require
from score_sde.sde.base import SDE, of_time
from score_sde.sde.discrete import level_at, levels_between


@dataclasses.dataclass(frozen=True)
class VE(SDE):
    """Variance exploding (Song et al. 2021, eq. 30-31): α = 1, σ = σ_min (σ_max/σ_min)^t. σ(0) is σ_min, not 0."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    num_scales: int = 1000  # levels of the discrete chain
    _: dataclasses.KW_ONLY
    t_min_sampling: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        require(
            0 < self.sigma_min < self.sigma_max,
            f"sigma_min = {self.sigma_min}, sigma_max = {self.sigma_max}: 0 < sigma_min < sigma_max",
        )
        require(self.num_scales >= 2, f"num_scales = {self.num_scales}; at least 2 levels are needed")

    @of_time
    def log_alpha(self, t: Times) -> Times:
        return jnp.zeros_like(t)

    @of_time
    def sigma(self, t: Times) -> Times:
        return self.sigma_min * jnp.exp(t * math.log(self.sigma_max / self.sigma_min))

    def transition(self, t: ArrayLike, s: ArrayLike) -> tuple[Times, Times]:
        """In closed form, because the difference of two variances loses all digits near t = 0."""
        t, s = as_step(t, s, self.t_max)
        log_growth = 2 * (t - s) * math.log(self.sigma_max / self.sigma_min)
        return jnp.ones_like(log_growth), -(self.sigma(t) ** 2) * jnp.expm1(-log_growth)

    def discrete_sigmas(self) -> Float[np.ndarray, "levels"]:
        """SMLD's σ_k, k = 0 … N − 1, in float64, ascending: geometric from σ_min to σ_max."""
        return np.geomspace(self.sigma_min, self.sigma_max, self.num_scales)

    def discretize(self, x: Sample, t: ArrayLike, s: ArrayLike) -> tuple[Array, Times]:
        """SMLD's chain: F = 0,  G² = σ_{k_t}² − σ_{k_s}², with σ_{−1} = 0."""
        t, s = as_step(t, s, self.t_max, x, lowest=-math.inf)
        variances = jnp.asarray(np.concatenate([[0.0], self.discrete_sigmas() ** 2]), t.dtype)
        k_s, k_t, share = levels_between(t, s, self.num_scales, self.t_max)
        return jnp.zeros_like(x), jnp.sqrt(share * (variances[k_t + 1] - variances[k_s + 1]))

    @of_time
    def discrete_sigma(self, t: Times) -> Times:
        """SMLD's σ_k."""
        return jnp.asarray(self.discrete_sigmas(), t.dtype)[level_at(t, self.num_scales)]


@dataclasses.dataclass(frozen=True)
class EDM(SDE):
    """Karras et al. 2022, Table 1: α = 1, σ = t, for t from 0.002 to 80."""

    time_power: ClassVar[float] = 7.0

    _: dataclasses.KW_ONLY
    t_min: float = 0.002
    t_max: float = 80.0
    t_min_sampling: float = 0.002
    t_max_sampling: float = 80.0

    @of_time
    def log_alpha(self, t: Times) -> Times:
        return jnp.zeros_like(t)

    @of_time
    def sigma(self, t: Times) -> Times:
        return t
