"""The training loss on held-out data."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Key

from score_sde.checks import require
from score_sde.evaluation.evaluator import Batch, PerExample, State, Subject, mean_of
from score_sde.randomness import keys_of


@dataclasses.dataclass(frozen=True)
class HeldOutLoss(PerExample):
    """Without dropout, with all conditions, at independent times, so that the standard error of the mean is valid."""

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Array]:
        require(subject.loss is not None, "held_out_loss needs the loss of a task: Subject(..., loss=)")
        assert subject.loss is not None
        return {"loss": subject.loss(subject.model, batch, keys_of(key, batch["index"]))}

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        return mean_of(state["loss"].astype(np.float64))
