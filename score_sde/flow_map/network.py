"""Flow maps from a network that is told two times, and the student that begins as its teacher."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde import parameters, pytree
from score_sde.checks import Sample, as_time, require, some_of
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser, Network, NetworkDenoiser, as_tree
from score_sde.denoiser.predicting import noise_level_of
from score_sde.denoiser.prediction import Kind
from score_sde.flow_map.base import FlowMap
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class NetworkFlowMap(FlowMap):
    """A flow map from a network whose ``noise_level`` is (batch, 2): those of t and s.

    The prediction, of the same kinds as a ``NetworkDenoiser``'s, is decoded at t. A network that pays no heed to s is a
    denoiser, and X then a step of DDIM.
    """

    network: Network
    predicts: Kind = dataclasses.field(metadata={"static": True}, kw_only=True)
    sigma_data: float = dataclasses.field(default=0.5, metadata={"static": True}, kw_only=True)
    noise_level: Callable[[SDE, Array], Array] | None = dataclasses.field(
        default=None, metadata={"static": True}, kw_only=True
    )
    dropout_keys: Key[Array, "batch"] | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self):
        object.__setattr__(self, "network", as_tree(self.network, "network"))
        NetworkDenoiser(self.sde, self.network, predicts=self.predicts, sigma_data=self.sigma_data)  # checks the fields

    def predict(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        s = jnp.broadcast_to(as_time(s, self.sde.t_max, x, name="s"), x.shape[:1])
        return self._towards(s).predict(x, t, condition)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "NetworkFlowMap":
        return dataclasses.replace(self, dropout_keys=keys)

    def _towards(self, s: Float[Array, "batch"]) -> NetworkDenoiser:
        """The denoiser whose network knows s."""
        level = noise_level_of(self.predicts, self.noise_level)(self.sde, jnp.maximum(s, self.sde.t_min))
        return NetworkDenoiser(
            self.sde,
            _Towards(self.network, level),
            predicts=self.predicts,
            sigma_data=self.sigma_data,
            noise_level=self.noise_level,
            dropout_keys=self.dropout_keys,
        )


@dataclasses.dataclass(frozen=True)
class _Towards:
    """The network with the second of its two levels given."""

    network: Network
    level: Float[Array, "batch"]

    def __call__(self, x, noise_level, condition=None, *, dropout_keys=None) -> Any:
        both = jnp.stack([noise_level, self.level.astype(noise_level.dtype)], axis=1)
        return self.network(x, both, condition, dropout_keys=dropout_keys)


pytree.register(_Towards, static_unless_told=False)


def student_of(teacher: Denoiser, model: NetworkFlowMap) -> NetworkFlowMap:
    """``model`` with the teacher's arrays in all places that the teacher has.

    What the teacher lacks, the embeddings of s and of the scale of guidance, begins at zero output, so that X is the
    teacher's step of DDIM.
    """
    require(
        isinstance(teacher, NetworkDenoiser) and type(teacher.sde) is type(model.sde) and teacher.sde == model.sde,
        f"the teacher is a {type(teacher).__name__} under {teacher.sde}; a student begins as a NetworkDenoiser under its "
        f"own SDE, {model.sde}",
    )
    for name in ("predicts", "sigma_data", "noise_level"):
        mine, theirs = getattr(model, name), getattr(teacher, name)
        require(
            mine == theirs, f"the teacher has {name} = {theirs!r}, the student {mine!r}; give the student the teacher's"
        )
    old, new = parameters.named(teacher), parameters.named(model)
    missing = [name for name in old if name not in new]
    require(
        not missing, f"the student's network lacks {some_of(missing, 3)} of the teacher's; give it the same options"
    )
    other = [f"{name} {old[name].shape} and {new[name].shape}" for name in old if old[name].shape != new[name].shape]
    require(not other, f"arrays of teacher and student differ in shape: {some_of(other, 3)}; give the same network")
    return parameters.unflatten(model, {name: jax.numpy.array(old.get(name, leaf)) for name, leaf in new.items()})
