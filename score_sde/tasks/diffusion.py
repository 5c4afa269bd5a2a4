"""Training a denoiser with a loss of ``score_sde.losses`` on data and conditions in model space."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Float, Key

from score_sde import losses
from score_sde.conditions import Conditions
from score_sde.data.scaling import DataScaling
from score_sde.denoiser import Denoiser, without_dropout
from score_sde.evaluation import HeldOutLoss, LossPerLevel
from score_sde.tasks.examples import prepared
from score_sde.training.task import Batch, Context, Task


@dataclasses.dataclass(frozen=True, eq=False)
class Diffusion(Task):
    """A denoiser and a loss (model, x0, keys, condition) -> (batch,), such as ``losses.denoising``.

    ``model``: a function of a key that makes the denoiser with its initial parameters. ``scaling``: the map from data
    to model space, by default the identity.
    """

    model: Callable[[Key[Array, ""]], Denoiser]
    loss_function: Callable[..., Float[Array, "batch"]] = losses.denoising
    scaling: DataScaling = DataScaling(levels=None)
    conditions: Conditions = Conditions()

    def init(self, key: Key[Array, ""]) -> Denoiser:
        return self.model(key)

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
