"""Likelihoods by the probability flow: log-densities, latent codes, bits per dimension, and variational bounds.

``log_likelihood``, ``encode`` and ``decode`` work in model space; ``of_data`` takes images as they are stored.
``discrete_bound`` and ``continuous_bound`` bound the log-density without solving the flow, ``bound_by_level`` that of models
with a learned variance. To evaluate a whole split, use ``ss.evaluation.BitsPerDim``.
"""

from score_sde.likelihood.adams import Adams
from score_sde.likelihood.bits import bits_per_dim, nats_per_dim
from score_sde.likelihood.bounds import Bound, continuous_bound, discrete_bound
from score_sde.likelihood.by_level import BoundByLevel, bound_by_level
from score_sde.likelihood.data import of_data
from score_sde.likelihood.density import LogLikelihood, decode, encode, log_likelihood

__all__ = [
    "Adams",
    "Bound",
    "BoundByLevel",
    "LogLikelihood",
    "bits_per_dim",
    "bound_by_level",
    "continuous_bound",
    "decode",
    "discrete_bound",
    "encode",
    "log_likelihood",
    "nats_per_dim",
    "of_data",
]
