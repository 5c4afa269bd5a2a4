"""Whether samples show what their condition says, as a judge decides."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from score_sde.checks import require
from score_sde.conditions import Condition
from score_sde.evaluation.evaluator import Batch, PerExample, State, Subject, mean_of
from score_sde.guidance import classifier_free
from score_sde.samplers import Samples, dpm_solver

Judge = Callable[[np.ndarray, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Agreement(PerExample):
    """Draw a sample for the condition of each of the ``first`` examples, and have it judged.

    judge      a function (samples in the form of the data, the entries of the examples) -> flags (n,) by name; the flag
               "all" is the one that counts
    scale      of classifier-free guidance; 1: the model as it is
    shuffled   whether each sample has the condition of another example, which shows what agrees by chance

    The sample of example i depends on (key, i) alone. The result has the share of each flag; it is logged in training.
    """

    judge: Judge
    scale: float = 1.0
    shuffled: bool = False
    first: int | None = 128
    sampler: Callable[..., Samples] = dpm_solver
    of: ClassVar[Literal["examples", "samples"]] = "examples"

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Array]:
        condition = subject.condition(batch, key)
        require(condition is not None, "agreement is that with a condition, and the model is told none")
        index = jnp.asarray(batch["index"])
        require(not self.shuffled or len(index) > 1, "shuffled = True needs two examples or more in a batch")
        told = _of_others(condition) if self.shuffled else condition
        model = subject.model
        if self.scale != 1.0:
            model = classifier_free(model, self.scale, null=subject.conditions.null)
        shape = batch["data"].shape[1:]
        out = self.sampler(model, key, len(index), shape, condition=told, start=index)
        entries = {name: np.asarray(value) for name, value in batch.items()}
        flags = self.judge(np.asarray(subject.scaling.to_images(out.x)), entries)
        return {name: jnp.asarray(flag) for name, flag in flags.items()} | {"failed": out.failed_at >= 0}

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        shares = {name: mean_of(flags.astype(float)) for name, flags in state.items() if name != "n"}
        return {**shares.pop("all"), "unit": "share of samples that agree", **shares}

    def numbers(self, result: Mapping[str, Any]) -> dict[str, float]:
        """What training logs."""
        each = {name: share["mean"] for name, share in result.items() if isinstance(share, Mapping)}
        return {"all": result["mean"], **each}


def _of_others(condition: Condition) -> Condition:
    """Half a batch away, because neighbours in the data are often alike."""
    return jax.tree.map(lambda leaf: jnp.roll(leaf, len(leaf) // 2, axis=0), condition)
