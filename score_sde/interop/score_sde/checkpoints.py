"""Loading models trained with score_sde_pytorch, from their checkpoints or their state dicts."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ml_collections import ConfigDict

from score_sde.experiment import Run, experiment_of
from score_sde.formats import pth
from score_sde.interop.models import model_with
from score_sde.interop.score_sde.translate import read_config

Weights = Literal["ema", "raw"]
_NEVER_AVERAGED = ("sigmas", "all_modules.0.W")  # a table and frozen frequencies, which are not in the EMA's list


def from_score_sde_pytorch(state_dict: Mapping[str, Any], config: ConfigDict | str | Path) -> Run:
    """The model with these tensors, keyed as in the original's state dict, with or without "module.".

    All keys and shapes are checked; a ValueError lists missing and unexpected keys and wrong shapes.
    """
    experiment = experiment_of(read_config(config))
    return Run(model_with(experiment, state_dict), experiment)


def load_score_sde_pytorch(path: str | Path, config: ConfigDict | str | Path, weights: Weights = "ema") -> Run:
    """The model in a ``checkpoint_K.pth`` of the original's trainer. PyTorch is not needed.

    ``config`` is the original's unmodified config file, or its ConfigDict. "ema" selects the averaged weights, which
    the original uses for sampling; "raw" those of the last step.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f'weights = {weights!r}; allowed: "ema", "raw"')
    checkpoint = read_checkpoint(path)
    state_dict = checkpoint["model"] if weights == "raw" else averaged(checkpoint, path)
    run = from_score_sde_pytorch(state_dict, config)
    return dataclasses.replace(run, step=int(checkpoint["step"]), weights=weights)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read the four parts of the original's checkpoints: optimizer, model, ema, step."""
    checkpoint = pth.read(path)
    parts = ("optimizer", "model", "ema", "step")
    missing = [part for part in parts if not isinstance(checkpoint, dict) or part not in checkpoint]
    if missing:
        found = (
            ", ".join(map(repr, list(checkpoint)[:6])) if isinstance(checkpoint, dict) else type(checkpoint).__name__
        )
        raise ValueError(
            f"{path} is a PyTorch file but no checkpoint of score_sde_pytorch: {', '.join(missing)} missing (it holds "
            f"{found}). If it is a bare state dict, give its arrays to from_score_sde_pytorch"
        )
    return checkpoint


def averaged(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, np.ndarray]:
    """The state dict with the parameters replaced by their moving averages, which the file stores without names."""
    model, shadow = checkpoint["model"], checkpoint["ema"].get("shadow_params")
    names = [name for name in model if name.removeprefix("module.") not in _NEVER_AVERAGED]
    if shadow is None or len(shadow) != len(names):
        count = "no list" if shadow is None else f"{len(shadow)} entries"
        raise ValueError(
            f'{path}: ema["shadow_params"] has {count} for {len(names)} trained tensors of the model; the file is not '
            'whole. The last step\'s own weights can be read with weights="raw"'
        )
    for name, value in zip(names, shadow, strict=True):
        if value.shape != model[name].shape:
            raise ValueError(
                f"{path}: the average of {name} has shape {value.shape}, the tensor {model[name].shape}; the list of "
                'averages is not in the order of the model. weights="raw" reads the last step\'s own'
            )
    return {**model, **dict(zip(names, shadow, strict=True))}
