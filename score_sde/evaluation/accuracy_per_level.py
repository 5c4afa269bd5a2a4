"""The accuracy of a classifier of noisy data at each noise level."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from score_sde import losses
from score_sde.checks import require
from score_sde.evaluation.evaluator import Batch, PerExample, State, Subject
from score_sde.losses.held_out import at_each_level
from score_sde.randomness import keys_of


@dataclasses.dataclass(frozen=True)
class AccuracyPerLevel(PerExample):
    """The accuracy on the ``first`` held-out examples at ``levels`` times, uniform in log-SNR."""

    levels: int = 12
    first: int | None = 1024
    label: str = "label"

    def __post_init__(self):
        require(self.levels >= 1, f"levels = {self.levels}; allowed: 1 or more")

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Bool[Array, "batch levels"]]:
        require(
            self.label in batch, f"accuracy_per_level needs the entry {self.label!r}; the data have {', '.join(batch)}"
        )
        keys = keys_of(key, batch["index"])
        x0 = subject.scaling.forward(batch["data"], keys)
        times = losses.levels(subject.model.sde, self.levels)
        return {"right": _right(subject.model, x0, keys, times, batch[self.label], subject.condition(batch, key))}

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        sde, right = subject.model.sde, state["right"]
        return {
            "log_snr": np.asarray(sde.log_snr(losses.levels(sde, self.levels))).tolist(),
            "accuracy": right.mean(axis=0).tolist(),
            "examples": len(right),
        }


@jax.jit
def _right(model: Any, x0: Array, keys: Array, times: Array, y: Array, condition: Any) -> Bool[Array, "batch levels"]:
    def right(t: Array, noise: Array) -> Bool[Array, "batch"]:
        return jnp.argmax(model.logits(model.sde.perturb(x0, t, noise), t, condition), axis=1) == y

    return at_each_level(x0, keys, times, right)
