"""What an evaluator is: numbers of a batch, a state that they are added to, and a result.

    state = evaluator.begin(n)
    for each batch:   state = evaluator.add(state, rows, evaluator.measure(subject, batch, key))
    evaluator.result(subject, state)

The state is a dictionary of NumPy arrays, so that a pass can be stopped and go on (see ``one_pass``). It may hold
something of each example, or sums alone.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from score_sde.conditions import Conditions
from score_sde.data.scaling import DataScaling

State = dict[str, np.ndarray]
Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """What is evaluated: a model, and what it takes to tell it of data.

    ``loss``: the training's loss as a measurement, a function (model, batch, keys) -> (batch,).
    """

    model: PyTree
    scaling: DataScaling = DataScaling(levels=None)
    conditions: Conditions = Conditions()
    loss: Callable[[Any, Batch, Key[Array, "batch"]], Float[Array, "batch"]] | None = None


@runtime_checkable
class Evaluator(Protocol):
    """One measurement of a model."""

    of: Literal["examples", "samples"]
    """Whether it goes over held-out examples or over samples of the model."""

    @property
    def first(self) -> int | None:
        """How many of the examples or samples it takes; None: all."""
        ...

    def begin(self, n: int) -> State:
        """The state before the first of n examples."""
        ...

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> Mapping[str, Array]:
        """Numbers of each example of a batch, arrays that lead with the batch. ``batch["index"]`` says which they are."""
        ...

    def add(self, state: State, rows: slice, values: Mapping[str, np.ndarray]) -> State:
        """The state with the numbers of these examples. The rows come in order, each of them once."""
        ...

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        """What goes into the JSON. "mean", "standard_error" and "unit" are also printed."""
        ...


class PerExample:
    """Keeps the numbers of each example, for a result that is made from all of them."""

    of: Literal["examples", "samples"] = "examples"
    first: int | None = None

    def begin(self, n: int) -> State:
        return {"n": np.array(n)}

    def add(self, state: State, rows: slice, values: Mapping[str, np.ndarray]) -> State:
        for name, value in values.items():
            if name not in state:
                state[name] = np.zeros((int(state["n"]), *value.shape[1:]), value.dtype)
            state[name][rows] = value
        return state


def mean_of(values: np.ndarray) -> dict[str, float | int | None]:
    """The mean of independent numbers, and its standard error."""
    n = len(values)
    return {
        "mean": float(values.mean()) if n else None,
        "standard_error": float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
        "examples": n,
    }
