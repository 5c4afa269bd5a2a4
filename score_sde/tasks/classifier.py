"""Training a classifier of noisy data, for classifier guidance (Song et al. 2021, appendix I)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from score_sde.conditions import Conditions
from score_sde.data.scaling import DataScaling
from score_sde.evaluation import AccuracyPerLevel, HeldOutLoss
from score_sde.guidance.classifier import NoisyClassifier, log_prob_of
from score_sde.losses.times import Times, Uniform
from score_sde.randomness import Purpose, for_each
from score_sde.tasks.examples import prepared
from score_sde.training.task import Batch, Context, Task


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier(Task):
    """−log p(y | x_t) of the labels at times drawn from a density q, without importance weights.

    The classes are the entry ``label`` of an example. The classifier may have further conditions. The minimum of the
    loss is the conditional entropy of y given x_t, attained only by the true p_t(y | x_t).
    """

    model: Callable[[Key[Array, ""]], NoisyClassifier]
    scaling: DataScaling = DataScaling(levels=None)
    conditions: Conditions = Conditions()
    label: str = "label"
    times: Times = Uniform()  # noqa: RUF009 (a frozen value)

    @property
    def entries(self) -> tuple[str, ...]:
        return (self.label,)

    def init(self, key: Key[Array, ""]) -> NoisyClassifier:
        return self.model(key)

    def loss(
        self, context: Context, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, "batch"], Mapping[str, Float[Array, "batch"]]]:
        x0, condition = prepared(self.scaling, self.conditions, batch, keys, training=context.training)
        model = context.model
        if context.training:
            model = model.with_dropout(for_each(keys, Purpose.DROPOUT))
        t = self.times.quantile(model.sde, for_each(keys, Purpose.TIME, jax.random.uniform))
        noise = for_each(keys, Purpose.NOISE, lambda key: jax.random.normal(key, x0.shape[1:], x0.dtype))
        logits, y = model.logits(model.sde.perturb(x0, t, noise), t, condition), batch[self.label]
        return -log_prob_of(y, logits), {"accuracy": (jnp.argmax(logits, axis=1) == y).astype(jnp.float32)}

    def evaluators(self) -> Mapping[str, Any]:
        return {"held_out_loss": HeldOutLoss(), "accuracy_per_level": AccuracyPerLevel(label=self.label)}
