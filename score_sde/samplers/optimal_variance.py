"""The best fixed variance of ancestral steps, for models that have not learned one: Analytic-DPM (Bao et al. 2022).

Among Gaussians with the mean of q(x_s | x_t, x̂), the one nearest to the true reverse step has the variance

    v* = small + (α_s G²/σ_t²)² e_t,   e_t = E‖x_0 − x̂(x_t)‖²/D.

For an exact model e_t = E tr Cov[x_0 | x_t]/D = (σ_t²/α_t²)(1 − E‖ε̂‖²/D), which is how the paper writes it (theorem 1). The
squared error needs the data, but does not cancel at high noise, and counts the model's own error (Bao et al. 2022b).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Sample, per_sample, require, sum_over_sample
from score_sde.denoiser import Condition, Denoiser
from score_sde.samplers.chain_steps import chain_step
from score_sde.samplers.predictors import Time
from score_sde.sde.discrete import level_at, time_of_level


@dataclasses.dataclass(frozen=True)
class OptimalVariance:
    """A predictor, on the levels of ``grids.respaced``. ``errors``: e at each level, measured by ``optimal_variance``."""

    errors: tuple[float, ...]

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]:
        step = chain_step(model.sde, t, s)
        error = jnp.asarray(self.errors, x.dtype)[level_at(t, len(self.errors))]
        variance = step.small + step.of_x0**2 * error
        mean = step.mean(x, model.on_chain(x, t, condition)[0])
        return mean + per_sample(jnp.sqrt(variance), x) * noise, mean


def optimal_variance(
    model: Denoiser, x0: ArrayLike, key: Key[Array, ""], condition: Condition = None, *, points: int | None = None
) -> OptimalVariance:
    """Measure e with one draw of noise for each example x_0, at all levels, or at ``points`` and linear between them."""
    sde = model.sde
    levels = getattr(sde, "num_scales", 0)
    require(levels > 1, f"{type(sde).__name__} has no discrete chain; use VP or CosineChain")
    require(points is None or 2 <= points <= levels, f"points = {points}; allowed: 2 to {levels}")
    k = np.unique(np.round(np.linspace(0, levels - 1, levels if points is None else points)).astype(int))
    measured = np.asarray(_errors(model, jnp.asarray(x0), key, jnp.asarray(k), condition))
    return OptimalVariance(tuple(np.interp(np.arange(levels), k, measured).tolist()))


@jax.jit
def _errors(model: Denoiser, x0: Sample, key: Key[Array, ""], k: Array, condition: Condition) -> Array:
    sde = model.sde

    def error(k: Array) -> Array:
        t = time_of_level(k, sde.num_scales)  # type: ignore[attr-defined]
        noise = jax.random.normal(jax.random.fold_in(key, k), x0.shape, x0.dtype)
        x = sde.discrete_alpha(t) * x0 + sde.discrete_sigma(t) * noise
        gap = model.on_chain(x, t, condition)[0] - x0
        return jnp.mean(sum_over_sample(gap**2)) / x0[0].size

    return jax.lax.map(error, k)
