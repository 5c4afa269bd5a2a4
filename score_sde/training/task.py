"""The protocol of a training task. The loop, the checkpoints and the parallelism depend on nothing else of a task.

A step calls, in this order,

    loss           of a batch, and its gradient with respect to the trained part of the model
    (optimiser, averages)
    after_update   a projection of the model; by default none
    remember       the arrays that the task keeps from step to step; by default none
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Float, Int, Key, PyTree

from score_sde.parameters import Arrays, Structure

Batch: TypeAlias = PyTree  # leaves are (batch, ...)


class Averages(Mapping):
    """The model with each average of its parameters, built on access."""

    def __init__(self, structure: Structure, averages: Mapping[str, Arrays], constants: Arrays):
        self._structure, self._averages, self._constants = structure, averages, constants

    def __getitem__(self, name: str) -> Any:
        return self._structure.build(self._averages[name], self._constants)

    def __iter__(self) -> Iterator[str]:
        return iter(self._averages)

    def __len__(self) -> int:
        return len(self._averages)


class Context(NamedTuple):
    """The inputs of a loss other than the batch."""

    model: Any
    averages: Mapping[str, Any]
    """The model with averaged parameters, by the name of the average, without gradient."""
    frozen: Any
    """The task's ``frozen``."""
    memory: PyTree
    step: Int[Array, ""]
    training: bool = True
    """False if the loss is only measured: without dropout, with all conditions."""


class Task:
    """A training task. Subclasses define ``init`` and ``loss``."""

    @property
    def name(self) -> str:
        """The name stored in checkpoints: the class name in snake case."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def frozen(self) -> PyTree:
        """Models that are not trained, such as a teacher. They are arguments of the step, sharded like the parameters,
        and have no gradient, optimiser state, average or copy in checkpoints.
        """
        return {}

    @property
    def memory(self) -> PyTree:
        """The initial values of arrays that the task keeps between steps. In checkpoints, without gradient."""
        return {}

    @property
    def entries(self) -> tuple[str, ...]:
        """The entries of an example that the loss reads, besides "data" and the config's conditions."""
        return ()

    def init(self, key: Key[Array, ""]) -> Any:
        """The model with its initial parameters. ``score_sde.parameters.split`` determines which are trained."""
        raise TypeError(f"{type(self).__name__} does not define init(key)")

    def whole(self, model: Any, frozen: Any = None) -> Any:
        """The model as it is used: what is trained, with what it belongs to, such as the base of an adapter.

        ``frozen``: the arguments of the step in the place of the task's own.
        """
        return model

    def trained(self, whole: Any) -> Any:
        """The inverse of ``whole``."""
        return whole

    def loss(
        self, context: Context, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, "batch"], Mapping[str, Float[Array, "batch"]]]:
        """(the loss of each example, further measurements of each example by name).

        The batch may be a part of the whole one (in micro-batches, under pmap or FSDP): a loss of an example that depends
        on its neighbours gives other results there.
        """
        raise TypeError(f"{type(self).__name__} does not define loss(context, batch, keys)")

    def after_update(self, model: Any, context: Context) -> Any:
        """The model, projected after the optimiser's step; ``context`` is the loss's."""
        return model

    def remember(
        self, context: Context, batch: Batch, values: Float[Array, "batch"], metrics: Mapping[str, Array]
    ) -> PyTree:
        """The memory for the next step."""
        return context.memory

    def rehearsal(self, denoiser: Any) -> tuple[Any, Mapping[str, Any]]:
        """(a cheap model of the kind that is trained, made of a denoiser; what a loss function is given beside the batch):
        with these a config's loss and sampler are checked before the first step.
        """
        return denoiser, {}

    def evaluators(self) -> Mapping[str, Any]:
        """The default evaluators, which a config may replace; see ``score_sde.evaluation``."""
        return {}

    def preview(
        self, model: Any, batch: Batch, key: Key[Array, ""], sample: Callable[[Key[Array, ""]], Array]
    ) -> Mapping[str, Array]:
        """Preview images of the model at each snapshot by name, as examples in the form of the data.

        ``batch``: held-out examples. ``sample``: draws samples with the sampler of the config.
        """
        return {}
