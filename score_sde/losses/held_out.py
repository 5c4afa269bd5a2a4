"""The loss at each noise level, as a measurement."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from score_sde.checks import Sample
from score_sde.denoiser import Condition, Denoiser
from score_sde.losses.denoising import denoising_at
from score_sde.losses.times import Values, span
from score_sde.sde import SDE


def levels(sde: SDE, n: int = 24) -> Values:
    """Times from t_min to t_end, uniform in log-SNR."""
    first, last = span(sde)
    times = sde.time_of_log_snr(jnp.linspace(sde.log_snr(first), sde.log_snr(last), n))
    return times.at[0].set(first).at[-1].set(last)


def per_level(
    model: Denoiser, x0: Sample, keys: Key[Array, "batch"], times: Values, condition: Condition = None
) -> Float[Array, "batch levels"]:
    """‖ε̂ − ε‖²/D of each example at each of the times. The mean over examples is near 1 at low noise, which cannot be
    distinguished from detail in the data, and near 0 at high noise.
    """
    return at_each_level(x0, keys, times, lambda t, noise: denoising_at(model, x0, t, noise, condition))


def at_each_level(
    x0: Sample, keys: Key[Array, "batch"], times: Values, measure: Callable[[Array, Sample], Array]
) -> Shaped[Array, "batch levels"]:
    """``measure(t, noise)`` (batch,) at each of the times, each with a new draw of noise from the examples' keys."""

    def at(pair: tuple[Array, Array]) -> Shaped[Array, "batch"]:
        k, t = pair
        draw = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, k), x0.shape[1:], x0.dtype))
        return measure(t, draw(keys))

    return jax.lax.map(at, (jnp.arange(len(times)), times)).T
