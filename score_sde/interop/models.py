"""The models of an experiment under the names of the code base that its network comes from."""

from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx

from score_sde.experiment import Experiment
from score_sde.interop.guided_diffusion import weights as guided_diffusion
from score_sde.interop.pairs import Pair, Stacked
from score_sde.interop.score_sde import weights as score_sde


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
