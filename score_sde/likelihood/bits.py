"""From log-densities to bits per dimension.

In model space, an image d with L levels is a cell of width c = (high − low)/L (``DataScaling`` defines the map from
data to x). The probability of the image is that of the cell. By Jensen's inequality, with u ~ U(0, 1)^D and x(u) the
point at u in the cell (Theis et al. 2016, eq. 3-6),

    log P(d) = log ∫_cell p(x) dx = log c^D E_u[p(x(u))] >= E_u[log p(x(u))] + D log c.

So with V = log c = ``scaling.log_volume_per_dim``, in bits and per dimension,

    bits/dim = −(log p(x)/D + V)/log 2,      averaged over u and over images: an upper bound on −log2 P(d)/D.

V follows from the scaling: −7 log 2 for 256 levels on [−1, 1] (the original's "offset 7"), −8 log 2 on [0, 1], and
log(2/17) for the 17 levels of the digits. The bound is tight if p is nearly constant within a cell, which a model
learns if it is also *trained* on dequantised data; a model trained on the levels themselves concentrates its mass in
spikes that miss most of the cell (0.6 bits/dim worse on the digits).

Continuous data y = std x + mean have no cells and no bits: log p(y) = log p(x) + D V with V = −mean(log std), in nats.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.data.scaling import DataScaling


def bits_per_dim(log_prob: Float[Array, "..."], shape: tuple[int, ...], scaling: DataScaling) -> Float[Array, "..."]:
    """−(log p(x)/D + V)/log 2, for log p(x) in model space and D = prod(shape), the shape of one example."""
    require(
        scaling.levels is not None,
        "bits_per_dim is for data with levels, but scaling.levels is None (continuous data have a density, not a "
        "probability); use ss.likelihood.nats_per_dim",
    )
    return nats_per_dim(log_prob, shape, scaling) / math.log(2)


def nats_per_dim(log_prob: Float[Array, "..."], shape: tuple[int, ...], scaling: DataScaling) -> Float[Array, "..."]:
    """−(log p(x)/D + V): the negative log-likelihood per dimension, for the data in their own units."""
    dimensions = math.prod(shape)
    require(dimensions >= 1, f"shape = {shape}; give the shape of one example, without the batch")
    return -(jnp.asarray(log_prob) / dimensions + scaling.log_volume_per_dim)
