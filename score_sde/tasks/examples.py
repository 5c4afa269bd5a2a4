"""The inputs of a loss: the examples in model space, and their condition."""

from jaxtyping import Array, Key

from score_sde.checks import Sample
from score_sde.conditions import Condition, Conditions
from score_sde.data.scaling import DataScaling
from score_sde.randomness import Purpose, for_each
from score_sde.training.task import Batch


def prepared(
    scaling: DataScaling, conditions: Conditions, batch: Batch, keys: Key[Array, "batch"], *, training: bool
) -> tuple[Sample, Condition]:
    """(x_0, its condition); in training, some leaves are dropped at random."""
    condition = conditions.of(batch, keys)
    if training:
        condition = conditions.dropped(condition, keys)
    return scaling.forward(batch["data"], for_each(keys, Purpose.DEQUANTIZATION)), condition
