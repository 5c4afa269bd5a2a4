"""Bits per dimension of held-out data, with several dequantisations of every example."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, Shaped

from score_sde.checks import require
from score_sde.evaluation.evaluator import Batch, PerExample, State, Subject, mean_of
from score_sde.likelihood import of_data

OPTIONS = ("divergence", "probes", "distribution", "rtol", "atol", "last_step", "steps", "max_steps")


@dataclasses.dataclass(frozen=True)
class BitsPerDim(PerExample):
    """The mean bits per dimension (nats if the data are continuous); see ``ss.log_likelihood`` for the options.

    Repeat r of example i depends on (key, r, i) alone. "mean" is over examples, each the mean of its ``repeats``;
    "standard_error" is that of "mean" and includes the noise of dequantisation and probes. Failed evaluations are
    excluded from the mean, counted in "failures" and listed in "failed" (the first 100).
    """

    repeats: int = 5
    divergence: Literal["hutchinson", "exact"] = "hutchinson"
    probes: int = 1
    distribution: Literal["rademacher", "gaussian"] = "rademacher"
    rtol: float = 1e-5
    atol: float = 1e-5
    last_step: Literal["stop", "bound"] = "stop"
    steps: Literal["each", "joint"] = "each"
    max_steps: int = 4096
    first: int | None = None

    def __post_init__(self):
        require(self.repeats >= 1, f"repeats = {self.repeats}; at least 1 is needed")

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Shaped[Array, "batch repeats"]]:
        options = {name: getattr(self, name) for name in OPTIONS}
        condition = subject.condition(batch, key)
        columns: dict[str, list[Array]] = {"per_dim": [], "nfe": [], "failed_at": [], "reached": []}
        for repeat in range(self.repeats):
            repeat_key = jax.random.fold_in(key, repeat)
            per_dim, ll = of_data(
                subject.model, batch["data"], repeat_key, subject.scaling, condition, start=batch["index"], **options
            )
            for name, value in zip(columns, (per_dim, ll.nfe, ll.failed_at, ll.reached), strict=True):
                columns[name].append(value)
        return {name: jnp.stack(values, axis=1) for name, values in columns.items()}

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        per_dim, nfe = state["per_dim"].astype(np.float64), state["nfe"]
        fine = state["failed_at"] < 0
        kept = fine.any(axis=1)
        failed = [
            {"repeat": int(r), "example": int(i), "t": float(state["reached"][i, r])} for i, r in np.argwhere(~fine)
        ]
        return {
            "unit": "nats/dim" if subject.scaling.levels is None else "bits/dim",
            **mean_of(np.where(fine, per_dim, 0).sum(axis=1)[kept] / fine.sum(axis=1)[kept]),
            "repeat_means": [
                float(column[ok].mean()) if ok.any() else None for column, ok in zip(per_dim.T, fine.T, strict=True)
            ],
            "evaluations": {"mean": float(nfe.mean()), "max": int(nfe.max())},
            "failures": len(failed),
            "failed": failed[:100],
        }
