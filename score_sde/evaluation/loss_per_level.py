"""The loss at each noise level separately."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from score_sde import losses, plots
from score_sde.evaluation.evaluator import Batch, PerExample, State, Subject
from score_sde.randomness import keys_of


@dataclasses.dataclass(frozen=True)
class LossPerLevel(PerExample):
    """E‖ε̂ − ε‖²/D at ``levels`` times, uniform in log-SNR, on the ``first`` held-out examples."""

    levels: int = 24
    first: int | None = 256

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Float[Array, "batch levels"]]:
        keys = keys_of(key, batch["index"])
        times = losses.levels(subject.model.sde, self.levels)
        x0 = subject.scaling.forward(batch["data"], keys)
        return {"loss": _per_level(subject.model, x0, keys, times, subject.condition(batch, key))}

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        sde, values = subject.model.sde, state["loss"]
        return {
            "log_snr": np.asarray(sde.log_snr(losses.levels(sde, self.levels))).tolist(),
            "loss": values.mean(axis=0).tolist(),
            "examples": len(values),
        }

    def picture(self, path: Path, result: Mapping[str, Any], label: str) -> None:
        """Plot the curve."""
        plots.loss_per_level(path, result["log_snr"], {label: result["loss"]})


_per_level = jax.jit(losses.per_level)
