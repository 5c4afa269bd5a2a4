"""Processes that approximately preserve unit variance: VP (DDPM), sub-VP, and the cosine (iDDPM)."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from score_sde.checks import Times, as_step, require
from score_sde.sde.base import SDE, of_time
from score_sde.sde.ddpm_chain import DDPMChain


@dataclasses.dataclass(frozen=True)
class VP(DDPMChain, SDE):
    """Variance preserving, β(t) = β_min + t (β_max − β_min)  (Song et al. 2021, eq. 32-33; DDPM's limit).

    log α = −t²(β_max − β_min)/4 − t β_min/2,   σ² = 1 − α².

    f = −β/2 and g = √β follow by differentiation (``SDE.drift_rate``, ``SDE.diffusion``); ``discretize`` has DDPM's √β_k.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    num_scales: int = 1000  # levels of the discrete chain

    def __post_init__(self):
        super().__post_init__()
        _check_betas(self)
        require(self.num_scales >= 2, f"num_scales = {self.num_scales}; at least 2 levels are needed")

    @of_time
    def log_alpha(self, t: Times) -> Times:
        return _vp_log_alpha(self, t)

    @of_time
    def sigma(self, t: Times) -> Times:
        return jnp.sqrt(-jnp.expm1(2 * self.log_alpha(t)))

    def transition(self, t: ArrayLike, s: ArrayLike) -> tuple[Times, Times]:
        """In closed form, as the difference of two variances is inaccurate for short steps (3e-4 at s = 0.999 t)."""
        t, s = as_step(t, s, self.t_max)
        log_ratio = -(t - s) * (self.beta_min / 2 + (self.beta_max - self.beta_min) * (t + s) / 4)
        return jnp.exp(log_ratio), -jnp.expm1(2 * log_ratio)

    @property
    def prior_std(self) -> float:
        return 1.0

    def discrete_betas(self) -> Float[np.ndarray, "levels"]:
        """DDPM's β_k, k = 0 … N − 1, in float64: evenly spaced from β_min/N to β_max/N."""
        require(
            self.beta_max < self.num_scales,
            f"num_scales = {self.num_scales}: the last β of the chain, beta_max/num_scales = "
            f"{self.beta_max / self.num_scales:g}, must be below 1; give more than beta_max = {self.beta_max:g} levels",
        )
        return np.linspace(self.beta_min / self.num_scales, self.beta_max / self.num_scales, self.num_scales)


@dataclasses.dataclass(frozen=True)
class SubVP(SDE):
    """Sub-variance preserving (Song et al. 2021, eq. 34-35): α as VP's, σ = 1 − α²."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self):
        super().__post_init__()
        _check_betas(self)

    @of_time
    def log_alpha(self, t: Times) -> Times:
        return _vp_log_alpha(self, t)

    @of_time
    def sigma(self, t: Times) -> Times:
        return -jnp.expm1(2 * self.log_alpha(t))

    @property
    def prior_std(self) -> float:
        return 1.0


@dataclasses.dataclass(frozen=True)
class Cosine(SDE):
    """Variance preserving with α a quarter of a cosine (Nichol & Dhariwal 2021, eq. 17, there with offset 0.008):

    α = cos θ(t)/cos θ(0),  θ(t) = π/2 (t + offset)/(1 + offset),  σ² = 1 − α²;  offset 0 is α = sin(π(1 − t)/2).

    α(1) = 0: f, g and λ are infinite at t = 1, so samplers begin at ``t_max_sampling`` (λ ≈ −14); α, σ and their
    derivatives are finite up to and including t = 1.
    """

    offset: float = 0.0
    _: dataclasses.KW_ONLY
    t_max_sampling: float = 0.9994

    def __post_init__(self):
        super().__post_init__()
        require(0 <= self.offset < 1, f"offset = {self.offset}; allowed: 0 <= offset < 1")
        require(self.t_max <= 1, f"t_max = {self.t_max}; the cosine reaches 0 at t = 1, so t_max <= 1")

    @of_time
    def alpha(self, t: Times) -> Times:
        # cos for t < 1/2, sin of the remaining angle above: each keeps full precision in α and α' near its end.
        turn, rest = self._theta_0 + math.pi / 2 * t / (1 + self.offset), math.pi / 2 * (1 - t) / (1 + self.offset)
        return jnp.where(t < 0.5, jnp.cos(turn), jnp.sin(rest)) / math.cos(self._theta_0)

    @of_time
    def sigma(self, t: Times) -> Times:
        # cos²θ_0 − cos²θ_t = sin(θ_t − θ_0) sin(θ_t + θ_0): no cancellation near t = 0.
        turn = math.pi / 2 * t / (1 + self.offset)
        if self.offset == 0:
            return jnp.sin(turn)
        return jnp.sqrt(jnp.sin(turn) * jnp.sin(turn + 2 * self._theta_0)) / math.cos(self._theta_0)

    @property
    def _theta_0(self) -> float:
        return math.pi / 2 * self.offset / (1 + self.offset)


@dataclasses.dataclass(frozen=True)
class CosineChain(DDPMChain, Cosine):
    """The cosine process with the discrete chain of iDDPM (Nichol & Dhariwal 2021, section 3.2):

    β_k = min(1 − α²((k + 1)/N)/α²(k/N), 0.999),  k = 0 … N − 1.
    """

    offset: float = 0.008
    num_scales: int = 4000  # levels of the discrete chain

    def __post_init__(self):
        super().__post_init__()
        require(self.num_scales >= 2, f"num_scales = {self.num_scales}; at least 2 levels are needed")

    def discrete_betas(self) -> Float[np.ndarray, "levels"]:
        """iDDPM's β_k, in float64."""
        t = np.arange(self.num_scales + 1) / self.num_scales
        alpha_bar = np.cos(np.pi / 2 * (t + self.offset) / (1 + self.offset)) ** 2
        return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)


def _vp_log_alpha(sde: VP | SubVP, t: Times) -> Times:
    return -(t**2) * (sde.beta_max - sde.beta_min) / 4 - t * sde.beta_min / 2


def _check_betas(sde: VP | SubVP) -> None:
    require(
        0 <= sde.beta_min <= sde.beta_max and sde.beta_max > 0,
        f"beta_min = {sde.beta_min}, beta_max = {sde.beta_max}: 0 <= beta_min <= beta_max and beta_max > 0",
    )
