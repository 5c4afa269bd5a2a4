"""The discrete chain of DDPM, x_k = √(1 − β_k) x_{k−1} + √β_k ε, of processes with a table of β_k."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from score_sde.checks import Sample, Times, as_step, per_sample
from score_sde.sde.base import of_time
from score_sde.sde.discrete import level_at, levels_between
from score_sde.sde.reverse_step import ReverseStep


class DDPMChain:
    """What follows from the β_k of a process whose levels k = 0 … N − 1 are at t = k/(N − 1)."""

    num_scales: int
    t_max: float

    def discrete_betas(self) -> Float[np.ndarray, "levels"]:
        """β_k, in float64."""
        raise TypeError(f"{type(self).__name__} does not define discrete_betas()")

    def discrete_alphas_cumprod(self) -> Float[np.ndarray, "levels"]:
        """ᾱ_k = Π_{j<=k} (1 − β_j), in float64."""
        return np.exp(np.cumsum(np.log1p(-self.discrete_betas())))

    def reverse_steps(self, kept: Int[np.ndarray, "kept"] | None = None) -> ReverseStep:
        """The steps from each level to the one before, from tables in float64; before the first come the data.

        ``kept``: some levels, ascending, as a respaced chain has them; all unless given. The small variance of the step to
        the data, which is 0, is replaced by that of the step before, as iDDPM does.
        """
        alpha_bar = self.discrete_alphas_cumprod()
        alpha_bar = alpha_bar if kept is None else alpha_bar[kept]
        before = np.concatenate([[1.0], alpha_bar[:-1]])
        beta = self.discrete_betas() if kept is None else 1 - alpha_bar / before
        small = beta * (1 - before) / (1 - alpha_bar)
        small[0] = small[min(1, len(small) - 1)]
        of_x, of_x0 = np.sqrt(1 - beta) * (1 - before) / (1 - alpha_bar), np.sqrt(before) * beta / (1 - alpha_bar)
        return ReverseStep(*(jnp.asarray(part, float) for part in (of_x, of_x0, small, beta)))

    def discretize(self, x: Sample, t: ArrayLike, s: ArrayLike) -> tuple[Array, Times]:
        """F = (√(1 − β) − 1) x,  G = √β, with 1 − β the product of 1 − β_k over the levels from s to t.

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
        """√ᾱ_k."""
        return jnp.asarray(np.sqrt(self.discrete_alphas_cumprod()), t.dtype)[level_at(t, self.num_scales)]

    @of_time
    def discrete_sigma(self, t: Times) -> Times:
        """√(1 − ᾱ_k)."""
        variances = -np.expm1(np.cumsum(np.log1p(-self.discrete_betas())))
        return jnp.asarray(np.sqrt(variances), t.dtype)[level_at(t, self.num_scales)]
