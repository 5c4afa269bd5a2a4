"""Samplers: pure functions from a denoiser and a key to samples. All of them accept ``Options``."""

from score_sde.samplers import annealed, grids
from score_sde.samplers.adaptive import adaptive_sde, ode
from score_sde.samplers.annealed import annealed_langevin
from score_sde.samplers.chain_steps import ChainDDIM, LearnedVariance
from score_sde.samplers.correctors import AnnealedLangevin, Corrector, Langevin
from score_sde.samplers.ddim import ddim
from score_sde.samplers.edit import edit, pasted
from score_sde.samplers.few_step import few_step
from score_sde.samplers.generate import generate
from score_sde.samplers.heun import heun
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.multistep import dpm_solver, unipc
from score_sde.samplers.optimal_variance import OptimalVariance, optimal_variance
from score_sde.samplers.options import Options
from score_sde.samplers.predictor_corrector import predictor_corrector
from score_sde.samplers.predictors import Ancestral, EulerMaruyama, Predictor, ReverseDiffusion
from score_sde.samplers.reverse import reverse_sde
from score_sde.samplers.samples import Samples, trajectory

__all__ = [
    "Ancestral",
    "AnnealedLangevin",
    "ChainDDIM",
    "Corrector",
    "EulerMaruyama",
    "Langevin",
    "LearnedVariance",
    "Method",
    "OptimalVariance",
    "Options",
    "Predictor",
    "ReverseDiffusion",
    "Samples",
    "Step",
    "adaptive_sde",
    "annealed",
    "annealed_langevin",
    "ddim",
    "dpm_solver",
    "edit",
    "few_step",
    "generate",
    "grids",
    "heun",
    "ode",
    "optimal_variance",
    "pasted",
    "predictor_corrector",
    "reverse_sde",
    "solve",
    "trajectory",
    "unipc",
]
