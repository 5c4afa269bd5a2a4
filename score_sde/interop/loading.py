"""Models of an experiment with the weights of another code base."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flax import nnx
from ml_collections import ConfigDict

from score_sde.experiment import Experiment, Run, experiment_of
from score_sde.interop import files
from score_sde.interop.guided_diffusion import weights as guided_diffusion
from score_sde.interop.pairs import Pair, Stacked
from score_sde.interop.score_sde import weights as score_sde
from score_sde.interop.score_sde.translate import read_config


def load_foreign(path: str | Path, config: ConfigDict | str | Path, weights: str | None = None) -> Run:
    """The model in a file of any known kind (``files.opened``). ``config``: ours or the original's, as a file or a value.

    ``weights``: "ema" or "raw"; by default the averages if the file has them.
    """
    foreign = files.opened(path)
    name = next(iter(foreign.states)) if weights is None else weights
    if name not in foreign.states:
        raise ValueError(f"weights = {name!r}; {path} has {', '.join(map(repr, foreign.states))}")
    experiment = experiment_of(read_config(config))
    return Run(model_with(experiment, foreign.states[name]), experiment, foreign.step, name)


def model_with(experiment: Experiment, state: Mapping[str, Any]) -> Any:
    """The experiment's model with the tensors of a state dict; a ValueError unless all of them fit."""
    network = nnx.eval_shape(lambda: experiment.network(nnx.Rngs(0)))
    load: Callable[[Any, Mapping[str, Any]], None] = _room(network).load
    load(network, state)
    return experiment.model_over(network)


def pairs_of(network: Any) -> list[Pair | Stacked]:
    """Every parameter of a network with its name in the code base that it comes from."""
    return _room(network).correspondence(network)


def is_of_guided_diffusion(network: Any) -> bool:
    """Whether it comes from guided-diffusion or improved-diffusion; else from score_sde_pytorch."""
    return type(network) in guided_diffusion.NETWORKS


def _room(network: Any) -> Any:
    return guided_diffusion if is_of_guided_diffusion(network) else score_sde
