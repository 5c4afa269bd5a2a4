"""Networks trained on a finite table of noise levels."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key


class Table(nnx.Variable):
    """A constant array in a network's definition, such as its noise levels."""


def sigma_of(sigmas: Table | None, noise_level: Float[Array, "batch"], x: Array) -> Float[Array, "batch *ones"]:
    """The σ by which an output is divided: the noise level, or the table's entry at the label, rounded down."""
    if sigmas is not None:
        noise_level = jax.lax.stop_gradient(sigmas[...])[noise_level.astype(jnp.int32)]
    return noise_level.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))


class NoiseToScore(nnx.Module):
    """score = −network(x, label)/stds[⌊label⌋]: the score of a discrete DDPM, whose network predicts the noise.

    The network's input is the label t(N − 1), not rounded, but the noise's standard deviation comes from a table, whose
    index the original rounds down. The continuous σ(t) would differ by up to one step of the table.
    """

    def __init__(self, network: Any, stds: ArrayLike | Sequence[float]):
        self.network = network
        self.stds = tuple(float(std) for std in np.asarray(stds))  # belongs to the chain, not to the weights

    def __call__(
        self,
        x: Float[Array, "batch *shape"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch *shape"]:
        noise = self.network(x, noise_level, condition, dropout_keys=dropout_keys)
        std = jnp.asarray(self.stds, jnp.float32)[noise_level.astype(jnp.int32)]
        return -noise / std.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
