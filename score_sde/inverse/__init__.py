"""Inverse problems: operators, likelihoods, and posterior denoisers, each a function from denoiser to denoiser."""

from score_sde.inverse.covariances import Diagonal, Flat, Isotropic, Prior, PseudoInverse, Scaled, Tweedie
from score_sde.inverse.likelihood import GaussianLikelihood
from score_sde.inverse.posterior import PosteriorDenoiser, condition
from score_sde.inverse.presets import ddnm, diffpir, jfps, mmps, pigdm, sda, tmpd
from score_sde.inverse.solvers import CG, GMRES

__all__ = [
    "CG",
    "GMRES",
    "Diagonal",
    "Flat",
    "GaussianLikelihood",
    "Isotropic",
    "PosteriorDenoiser",
    "Prior",
    "PseudoInverse",
    "Scaled",
    "Tweedie",
    "condition",
    "ddnm",
    "diffpir",
    "jfps",
    "mmps",
    "pigdm",
    "sda",
    "tmpd",
]
