"""Denoising score matching: losses, weightings of the noise levels, and distributions of the times.

A loss is a function (model, x0, keys, condition) -> one value per example; you can write your own with this
signature. A weighting is a function (sde, t) -> w and determines *what* is minimised. The times determine *how* it is
estimated and cancel in the expectation.
"""

from score_sde.losses.denoising import denoising, denoising_at, discrete, discrete_at, drop_condition
from score_sde.losses.held_out import levels, per_level
from score_sde.losses.times import LogitNormal, LogNormal, LogSNRUniform, Stratified, Times, Uniform
from score_sde.losses.weightings import (
    edm,
    emphasise,
    likelihood,
    min_snr,
    score_matching,
    truncated_snr,
)

__all__ = [
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
    "levels",
    "likelihood",
    "min_snr",
    "per_level",
    "score_matching",
    "truncated_snr",
]
