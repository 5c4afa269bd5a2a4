"""Log-likelihoods of data as they are stored: levels, or continuous values in their own units."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, Num

from score_sde.checks import is_concrete, require
from score_sde.data.scaling import DataScaling
from score_sde.denoiser import Condition, Denoiser
from score_sde.likelihood.bits import bits_per_dim, nats_per_dim
from score_sde.likelihood.density import LogLikelihood, log_likelihood
from score_sde.randomness import check_key


def of_data(
    model: Denoiser,
    data: Num[Array | np.ndarray, "n *shape"],
    key: Key[Array, ""],
    scaling: DataScaling,
    condition: Condition = None,
    *,
    start: ArrayLike = 0,
    **options: Any,
) -> tuple[Float[Array, "n"], LogLikelihood]:
    """(Bits per dimension of each example, or nats if ``scaling.levels`` is None; the log-likelihood itself).

    Levels are dequantised uniformly here, even if training did not: u and the probes of example i depend only on
    (key, start + i). ``options``: those of ``log_likelihood``.
    """
    check_key(key)
    check_data(data, scaling)
    n = data.shape[0]
    index = jnp.asarray(start, int) + (jnp.arange(n) if jnp.ndim(start) == 0 else 0)
    x = to_model_space(data, jax.random.fold_in(key, 0), index, scaling)
    ll = log_likelihood(model, x, jax.random.fold_in(key, 1), condition, start=index, **options)
    per_dim = nats_per_dim if scaling.levels is None else bits_per_dim
    return per_dim(ll.log_prob, data.shape[1:], scaling), ll


def to_model_space(data: Any, key: Key[Array, ""], index: Array, scaling: DataScaling) -> Float[Array, "n *shape"]:
    """Data in model space, with levels dequantised by u from fold_in(key, i)."""
    if scaling.levels is not None:
        scaling = dataclasses.replace(scaling, dequantize=True)
    return scaling.forward(data, jax.vmap(lambda i: jax.random.fold_in(key, i))(index))


def check_data(data: Any, scaling: DataScaling) -> None:
    """Raise a ValueError unless the data fit the scaling."""
    if scaling.levels is None:
        require(
            not is_concrete(data) or bool(np.isfinite(np.asarray(data)).all()), "the data are not finite everywhere"
        )
        return
    require(
        jnp.issubdtype(data.dtype, jnp.integer),
        f"the data have dtype {data.dtype}, but scaling.levels = {scaling.levels} means integers from 0 to "
        f"{scaling.levels - 1}; if they are in model space already use ss.log_likelihood, if continuous levels = None",
    )
    if is_concrete(data):
        low, high = int(np.min(data)), int(np.max(data))
        require(
            low >= 0 and high < scaling.levels,
            f"the data range from {low} to {high}, but scaling.levels = {scaling.levels} means 0 to "
            f"{scaling.levels - 1}; is it the scaling of another source?",
        )
