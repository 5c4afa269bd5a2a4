"""Score-based generative modelling through stochastic differential equations, in JAX."""

import importlib

from score_sde import analytic, data, guidance, likelihood, losses, networks, prediction, samplers
from score_sde.denoiser import Denoiser, FunctionDenoiser, NetworkDenoiser
from score_sde.likelihood import bits_per_dim, decode, encode, log_likelihood
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
    "bits_per_dim",
    "data",
    "decode",
    "encode",
    "guidance",
    "interop",
    "likelihood",
    "load",
    "log_likelihood",
    "losses",
    "networks",
    "prediction",
    "samplers",
]


def __getattr__(name: str):
    """Rooms that bring more than jax, flax and diffrax come in when they are first used."""
    if name in ("interop", "training"):
        return importlib.import_module(f"score_sde.{name}")
    if name == "load":
        return importlib.import_module("score_sde.run").load
    raise AttributeError(f"module 'score_sde' has no attribute {name!r}")
