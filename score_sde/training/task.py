"""What is trained: the protocol between a task and the loop, the checkpoints and the devices, which know no task.

A step calls, in this order,

    loss           of a batch, and its gradient with respect to the trained part of the model
    (optimiser, averages)
    after_update   a projection of the model; nothing unless told
    remember       what the task keeps from step to step; nothing unless told
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Float, Int, Key, PyTree

from score_sde.parameters import Arrays, Structure

Batch: TypeAlias = PyTree  # leaves lead with the batch


class Averages(Mapping):
    """The model with each average of its parameters, put together when it is asked for."""

    def __init__(self, structure: Structure, averages: Mapping[str, Arrays], constants: Arrays):
        self._structure, self._averages, self._constants = structure, averages, constants

    def __getitem__(self, name: str) -> Any:
        return self._structure.build(self._averages[name], self._constants)

    def __iter__(self) -> Iterator[str]:
        return iter(self._averages)

    def __len__(self) -> int:
        return len(self._averages)


class Context(NamedTuple):
    """What a loss may look at besides the batch."""

    model: Any
    averages: Mapping[str, Any]
    """The model with averaged parameters, by the name of the average. No gradient flows into them."""
    frozen: Any
    """The task's ``frozen``."""
    memory: PyTree
    step: Int[Array, ""]
    training: bool = True
    """False for a loss that is measured: without dropout, with all conditions."""


class Task:
    """What is trained. A subclass defines ``init`` and ``loss``."""

    @property
    def name(self) -> str:
        """Stands in every checkpoint: the name of the class in small letters."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def frozen(self) -> PyTree:
        """Models that are not trained, such as a teacher. They are arguments of the step, laid out over devices like the
        parameters, without gradient, optimiser state, average or copy in checkpoints.
        """
        return {}

    @property
    def memory(self) -> PyTree:
        """Arrays that the task keeps from step to step, as they are at first. In checkpoints, without gradient."""
        return {}

    @property
    def entries(self) -> tuple[str, ...]:
        """What the loss reads of an example besides "data" and the conditions of the config."""
        return ()

    def init(self, key: Key[Array, ""]) -> Any:
        """The model with its first parameters. What is trained of it is said by ``score_sde.parameters.split``."""
        raise TypeError(f"{type(self).__name__} does not define init(key)")

    def loss(
        self, context: Context, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, "batch"], Mapping[str, Float[Array, "batch"]]]:
        """(the loss of each example, further measurements of each example by name).

        The batch may be a part of the whole one (in micro-batches, under pmap or FSDP): a loss of an example that depends
        on its neighbours gives other results there.
        """
        raise TypeError(f"{type(self).__name__} does not define loss(context, batch, keys)")

    def after_update(self, model: Any, context: Context) -> Any:
        """The model after the optimiser, projected; ``context`` is that of the loss."""
        return model

    def remember(
        self, context: Context, batch: Batch, values: Float[Array, "batch"], metrics: Mapping[str, Array]
    ) -> PyTree:
        """The memory for the next step."""
        return context.memory

    def evaluators(self) -> Mapping[str, Any]:
        """What is measured of a trained model unless a config says so; see ``score_sde.evaluation``."""
        return {}

    def preview(
        self, model: Any, batch: Batch, key: Key[Array, ""], sample: Callable[[Key[Array, ""]], Array]
    ) -> Mapping[str, Array]:
        """Pictures of the model at each snapshot by name, as examples in the form of the data.

        ``batch``: held-out examples. ``sample``: draws samples of the model as the config says.
        """
        return {}
