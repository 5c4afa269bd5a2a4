"""Whether samples show the class that they were drawn for, by a classifier."""

import dataclasses
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from score_sde import parameters
from score_sde.checkpoints import hash_of
from score_sde.checks import require
from score_sde.evaluation.evaluator import Batch, PerExample, State, Subject, mean_of
from score_sde.guidance import NoisyClassifier
from score_sde.randomness import keys_of


@dataclasses.dataclass(frozen=True, repr=False)
class ConditionalAccuracy(PerExample):
    """The share of samples that a classifier, at its lowest noise level, assigns to their own class.

    ``classifier`` must be trained on the same data in the same scaling. In a config it refers to a run.
    """

    classifier: NoisyClassifier
    of: ClassVar[Literal["examples", "samples"]] = "samples"
    first: int | None = None
    label: str = "label"

    def __repr__(self) -> str:
        return f"ConditionalAccuracy({hash_of(parameters.named(self.classifier))}, label={self.label!r})"

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Bool[Array, "batch"]]:
        require(
            self.label in batch,
            f"conditional_accuracy needs samples with a {self.label!r}, but the model has no such condition",
        )
        x = subject.scaling.forward(batch["data"], keys_of(key, batch["index"]))
        return {"right": _right(self.classifier, x, batch[self.label])}

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        return mean_of(state["right"]) | {"unit": "of samples in their class"}


@jax.jit
def _right(classifier: NoisyClassifier, x: Array, y: Array) -> Bool[Array, "batch"]:
    return jnp.argmax(classifier.logits(x, classifier.sde.t_min), axis=1) == y
