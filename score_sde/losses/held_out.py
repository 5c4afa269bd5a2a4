"""Losses as measurements: without dropout, and at each noise level by itself."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample
from score_sde.denoiser import Condition, Denoiser
from score_sde.losses.denoising import denoising_at
from score_sde.losses.times import Values, span
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class WithoutDropout(Denoiser):
    """A model that no loss can switch dropout on for."""

    model: Denoiser

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self.model.predict(x, t, condition)

    def noise_on_chain(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        return self.model.noise_on_chain(x, t, condition)


def without_dropout(model: Denoiser) -> WithoutDropout:
    """The model for evaluation with a loss of training."""
    return WithoutDropout(model.sde, model)


def levels(sde: SDE, n: int = 24) -> Values:
    """Times from t_min to t_end, even in log-SNR."""
    first, last = span(sde)
    times = sde.time_of_log_snr(jnp.linspace(sde.log_snr(first), sde.log_snr(last), n))
    return times.at[0].set(first).at[-1].set(last)


def per_level(
    model: Denoiser, x0: Sample, keys: Key[Array, "batch"], times: Values, condition: Condition = None
) -> Float[Array, "levels"]:
    """E‖ε̂ − ε‖²/D at each of the times: near 1 where the noise is small and cannot be told from the data's own detail,
    near 0 where there is nothing but noise.
    """

    def at(pair: tuple[Array, Array]) -> Float[Array, ""]:
        k, t = pair
        draw = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, k), x0.shape[1:], x0.dtype))
        return jnp.mean(denoising_at(model, x0, t, draw(keys), condition))

    return jax.lax.map(at, (jnp.arange(len(times)), times))
