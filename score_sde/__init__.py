"""Score-based generative modelling through stochastic differential equations, in JAX."""

from score_sde import analytic, prediction, samplers
from score_sde.denoiser import Denoiser, FunctionDenoiser, NetworkDenoiser
from score_sde.sde import EDM, SDE, VE, VP, Cosine, FlowMatching, SubVP

__all__ = [
    "EDM",
    "SDE",
    "VE",
    "VP",
    "Cosine",
    "Denoiser",
    "FlowMatching",
    "FunctionDenoiser",
    "NetworkDenoiser",
    "SubVP",
    "analytic",
    "prediction",
    "samplers",
]
