"""Processes that approximately preserve unit variance: VP (DDPM), sub-VP and the cosine."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde.checks import Sample, Times, as_step, per_sample, require
from score_sde.sde.base import SDE, of_time
from score_sde.sde.discrete import level_at, levels_between


@dataclasses.dataclass(frozen=True)
class VP(SDE):
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
        return np.linspace(self.beta_min / self.num_scales, self.beta_max / self.num_scales, self.num_scales)

    def discrete_alphas_cumprod(self) -> Float[np.ndarray, "levels"]:
        """DDPM's ᾱ_k = Π_{j<=k} (1 − β_j), in float64."""
        return np.exp(np.cumsum(np.log1p(-self.discrete_betas())))

    def discretize(self, x: Sample, t: ArrayLike, s: ArrayLike) -> tuple[Array, Times]:
        """DDPM's chain: F = (√(1 − β) − 1) x,  G = √β, with 1 − β the product of 1 − β_k over the levels from s to t.

        On the chain's own grid, t − s = 1/N, β = β_k with k = t (N − 1) rounded down, as in the original.
        """
        t, s = as_step(t, s, self.t_max, x, lowest=-math.inf)
        log_keep = np.log1p(-self.discrete_betas())
        k_s, k_t, share = levels_between(t, s, self.num_scales, self.t_max)
        total = np.concatenate([[0.0], np.cumsum(log_keep)])  # total[k + 1]: levels 0 … k
        # A single level is read directly: a difference of two sums would lose digits.
        one = jnp.asarray(log_keep, t.dtype)[k_t]
        many = jnp.asarray(total, t.dtype)[k_t + 1] - jnp.asarray(total, t.dtype)[k_s + 1]
        log_kept = share * jnp.where(k_t - k_s == 1, one, many)
        return per_sample(jnp.expm1(log_kept / 2), x) * x, jnp.sqrt(-jnp.expm1(log_kept))

    @of_time
    def discrete_alpha(self, t: Times) -> Times:
        """DDPM's √ᾱ_k."""
        return jnp.asarray(np.sqrt(self.discrete_alphas_cumprod()), t.dtype)[level_at(t, self.num_scales)]

    @of_time
    def discrete_sigma(self, t: Times) -> Times:
        """DDPM's √(1 − ᾱ_k)."""
        variances = -np.expm1(np.cumsum(np.log1p(-self.discrete_betas())))
        return jnp.asarray(np.sqrt(variances), t.dtype)[level_at(t, self.num_scales)]


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


def _vp_log_alpha(sde: VP | SubVP, t: Times) -> Times:
    return -(t**2) * (sde.beta_max - sde.beta_min) / 4 - t * sde.beta_min / 2


def _check_betas(sde: VP | SubVP) -> None:
    require(
        0 <= sde.beta_min <= sde.beta_max and sde.beta_max > 0,
        f"beta_min = {sde.beta_min}, beta_max = {sde.beta_max}: 0 <= beta_min <= beta_max and beta_max > 0",
    )
