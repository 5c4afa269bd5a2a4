"""Score-based generative modelling through stochastic differential equations, in JAX."""

import importlib

from score_sde import analytic, data, flow_map, guidance, inverse, likelihood, losses, networks, samplers
from score_sde.denoiser import Denoiser, FunctionDenoiser, NetworkDenoiser, prediction
from score_sde.likelihood import bits_per_dim, decode, encode, log_likelihood
from score_sde.sde import EDM, SDE, VE, VP, Cosine, CosineChain, FlowMatching, SubVP

__all__ = [
    "EDM",
    "SDE",
    "VE",
    "VP",
    "Cosine",
    "CosineChain",
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
    "evaluation",
    "experiment",
    "flow_map",
    "guidance",
    "interop",
    "inverse",
    "likelihood",
    "load",
    "log_likelihood",
    "losses",
    "networks",
    "plots",
    "prediction",
    "pretrained",
    "samplers",
    "tasks",
    "train",
    "training",
]


LATER = {  # modules that need more than jax, flax and diffrax, and names from them: imported on first use
    **dict.fromkeys(("evaluation", "experiment", "interop", "plots", "tasks", "training"), None),
    "load": "experiment",
    "pretrained": "experiment",
    "train": "launch",
}


def __getattr__(name: str):
    if name not in LATER:
        raise AttributeError(f"module 'score_sde' has no attribute {name!r}")
    room = LATER[name]
    return (
        importlib.import_module(f"score_sde.{name}")
        if room is None
        else getattr(importlib.import_module(f"score_sde.{room}"), name)
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER})
