"""The log of a Gaussian's mass around one level of discrete data, or its density."""

import math

import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from score_sde.checks import Sample

OPEN = 1e3
"""The end of an open cell in deviations; at infinity itself, the gradient would be 0 · ∞."""


def log_mass(x0: Sample, mean: Sample, std: Sample, levels: int | None) -> Sample:
    """log ∫ N(x; mean, std²) dx over the cell of x_0 between the midpoints to its neighbours among ``levels`` in [−1, 1];

    the outer cells are open (Ho et al. 2020, eq. 13). None: the log-density at x_0.
    """
    if levels is None:
        return -(((x0 - mean) / std) ** 2) / 2 - jnp.log(std) - math.log(2 * math.pi) / 2
    half = 1 / (levels - 1)
    edge = 1 - half / 2
    below = jnp.where(x0 < -edge, -OPEN, (x0 - half - mean) / std)
    above = jnp.where(x0 > edge, OPEN, (x0 + half - mean) / std)
    return log_interval(below, above)


def log_interval(below: Sample, above: Sample) -> Sample:
    """log(Φ(above) − Φ(below)), mirrored where both are positive, to keep precision in the tails."""
    right = below > 0
    a, b = jnp.where(right, -above, below), jnp.where(right, -below, above)
    return log_ndtr(b) + jnp.log(-jnp.expm1(log_ndtr(a) - log_ndtr(b)))
