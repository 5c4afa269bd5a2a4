"""Denoising score matching: losses, weightings of the noise levels, and distributions of the times.

A loss is a function (model, x0, keys, condition) -> one value per example; you can write your own with this
signature. A weighting is a function (sde, t) -> w (``edm(...)`` and ``min_snr(gamma)``
return one) and determines *what* is minimised. The times determine *how* it is
estimated and cancel in the expectation.
"""

from score_sde.losses.denoising import denoising, denoising_at, discrete, discrete_at, drop_condition
from score_sde.losses.held_out import levels, per_level
from score_sde.losses.times import AngleUniform, LogitNormal, LogNormal, LogSNRUniform, Stratified, Times, Uniform
from score_sde.losses.variational import hybrid, variational, variational_at
from score_sde.losses.weightings import (
    edm,
    emphasise,
    flow_matching,
    likelihood,
    min_snr,
    score_matching,
    snr_plus_one,
    truncated_snr,
)

__all__ = [
    "AngleUniform",
    "LogNormal",
    "LogSNRUniform",
    "LogitNormal",
    "Stratified",
    "Times",
    "Uniform",
    "denoising",
    "denoising_at",
    "discrete",
    "discrete_at",
    "drop_condition",
    "edm",
    "emphasise",
    "flow_matching",
    "hybrid",
    "levels",
    "likelihood",
    "min_snr",
    "per_level",
    "score_matching",
    "snr_plus_one",
    "truncated_snr",
    "variational",
    "variational_at",
]
