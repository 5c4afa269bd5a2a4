"""Models trained with score_sde_pytorch, from the arrays of their state dict."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import nnx
from ml_collections import ConfigDict

from score_sde.config import build_model, build_network
from score_sde.denoiser import NetworkDenoiser
from score_sde.interop.weights import load
from score_sde.networks import NCSNpp


@dataclasses.dataclass(frozen=True)
class ConvertedRun:
    """A model from elsewhere: ``model`` answers (x, t), ``network`` was loaded, ``config`` says how it was built."""

    model: NetworkDenoiser
    network: nnx.Module
    config: ConfigDict


def from_score_sde_pytorch(state_dict: Mapping[str, Any], config: ConfigDict) -> ConvertedRun:
    """The model whose tensors these are, keyed as in the original's state dict, with or without "module.".

    Every key and every shape is checked; a ValueError lists what is missing, left over or of another shape.
    """
    network = nnx.eval_shape(lambda: build_network(config, nnx.Rngs(0)))
    if not isinstance(network, NCSNpp):
        raise ValueError(f"config.model.name = {config.model.name!r} has no counterpart in score_sde_pytorch")
    load(network, state_dict)
    return ConvertedRun(build_model(config, network), network, config)
