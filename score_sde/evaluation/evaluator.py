"""The evaluator protocol: values of a batch, a state that accumulates them, and a result.

    state = evaluator.begin(n)
    for each batch:   state = evaluator.add(state, rows, evaluator.measure(subject, batch, key))
    evaluator.result(subject, state)

The state is a dictionary of NumPy arrays, so that a pass can be interrupted and resumed (see ``one_pass``). It may hold
values of each example, or only sums.

``repr(evaluator)`` tells what state and result depend on. An evaluator whose result depends on more than its state has

    evaluator.collects         a text: what the state depends on
    evaluator.settings()       a dictionary: what else the result depends on

so that a result with other settings is made from the same state. With ``pictures(subject, state)``, images by name, it
also gives pictures.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from score_sde.conditions import Condition, Conditions
from score_sde.data.scaling import DataScaling
from score_sde.randomness import OF_CONDITIONS, keys_of

State = dict[str, np.ndarray]
Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """The object of evaluation: a model, and the maps from data to its inputs.

    ``loss``: the training loss as a measurement, a function (model, batch, keys) -> (batch,).
    """

    model: PyTree
    scaling: DataScaling = DataScaling(levels=None)
    conditions: Conditions = Conditions()
    loss: Callable[[Any, Batch, Key[Array, "batch"]], Float[Array, "batch"]] | None = None

    def condition(self, batch: Batch, key: Key[Array, ""]) -> Condition:
        """The condition of a batch with ``index``; what is made of example i depends on (key, i)."""
        keys = keys_of(jax.random.fold_in(key, OF_CONDITIONS), jnp.asarray(batch["index"]))
        return self.conditions.of(batch, keys)


@runtime_checkable
class Evaluator(Protocol):
    """One measurement of a model."""

    @property
    def of(self) -> Literal["examples", "samples"]:
        """Whether it evaluates held-out examples or samples of the model."""
        ...

    @property
    def first(self) -> int | None:
        """The number of examples or samples to use; None: all."""
        ...

    def begin(self, n: int) -> State:
        """The state before the first of n examples."""
        ...

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> Mapping[str, Array]:
        """Values of each example of a batch, arrays (batch, ...). ``batch["index"]`` holds their indices."""
        ...

    def add(self, state: State, rows: slice, values: Mapping[str, np.ndarray]) -> State:
        """The state with the values of these examples added. Rows come in order, each exactly once."""
        ...

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        """The result for the JSON. "mean", "standard_error" and "unit" are also printed."""
        ...


class PerExample:
    """Keep the values of each example, for a result computed from all of them."""

    of: ClassVar[Literal["examples", "samples"]] = "examples"
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
