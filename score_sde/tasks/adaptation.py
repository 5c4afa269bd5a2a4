"""Training an adapter of a trained model: ControlNet, an image prompt, LoRA. The base's weights stay as they are."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Float, Key

from score_sde import losses
from score_sde.checks import require
from score_sde.conditions import Conditions
from score_sde.data.scaling import DataScaling
from score_sde.denoiser import Denoiser, NetworkDenoiser, without_dropout
from score_sde.evaluation import HeldOutLoss, LossPerLevel
from score_sde.networks.adapters import adapted
from score_sde.tasks.examples import prepared
from score_sde.training.task import Batch, Context, Task


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation(Task):
    """An adapter and a loss (model, x0, keys, condition) -> (batch,), where the model is the base with the adapter.

    base       the denoiser that is adapted, frozen: a reference to another run in a config
    adapter    a function of a key that makes the adapter, a module of ``networks.adapters``; config.network in a config

    Only the adapter is in checkpoints and averages; the base is known by its run and the hash of its weights.
    """

    adapter: Callable[[Key[Array, ""]], Any]
    base: Denoiser
    loss_function: Callable[..., Float[Array, "batch"]] = losses.denoising
    scaling: DataScaling = DataScaling(levels=None)
    conditions: Conditions = Conditions()

    def __post_init__(self):
        require(
            isinstance(self.base, NetworkDenoiser),
            f"the base is a {type(self.base).__name__}; allowed: a run of the task diffusion or adaptation, whose model "
            "is a network's denoiser",
        )

    @property
    def frozen(self) -> Mapping[str, Any]:
        return {"base": self.base}

    def init(self, key: Key[Array, ""]) -> Any:
        return self.adapter(key)

    def whole(self, model: Any, frozen: Mapping[str, Any] | None = None) -> Denoiser:
        if isinstance(model, Denoiser):
            return model
        base = (frozen or self.frozen)["base"]
        return dataclasses.replace(base, network=adapted(base.network, model))

    def trained(self, whole: NetworkDenoiser) -> Any:
        return whole.network.adapters[-1]  # type: ignore[attr-defined]

    def loss(
        self, context: Context, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, "batch"], Mapping[str, Float[Array, "batch"]]]:
        x0, condition = prepared(self.scaling, self.conditions, batch, keys, training=context.training)
        model = self.whole(context.model, context.frozen)
        return self.loss_function(model if context.training else without_dropout(model), x0, keys, condition), {}

    def evaluators(self) -> Mapping[str, Any]:
        return {"held_out_loss": HeldOutLoss(), "loss_per_level": LossPerLevel()}

    def preview(
        self, model: Denoiser, batch: Batch, key: Key[Array, ""], sample: Callable[[Key[Array, ""]], Array]
    ) -> Mapping[str, Array]:
        return {"samples": sample(key)}
