"""The gradient of a task's loss, ∇_θ mean_i loss_i(θ), for the whole batch or in micro-batches."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from score_sde.checks import require
from score_sde.parameters import Arrays, split
from score_sde.training.state import TrainState
from score_sde.training.task import Averages, Batch, Context, Task


class Found(NamedTuple):
    """The results of a batch."""

    loss: Float[Array, ""]
    gradient: Arrays
    values: Float[Array, "batch"]
    """The loss of each example."""
    metrics: Mapping[str, Float[Array, "batch"]]


Differentiate: TypeAlias = Callable[[TrainState, Arrays, Batch, Key[Array, "batch"]], Found]


@dataclasses.dataclass(frozen=True)
class Gradient:
    """(state, frozen, batch, keys) -> ``Found``. ``accumulate``: the number of micro-batches.

    ``gather``: makes a state and frozen arrays whole that are divided over devices (``fsdp``); called inside the loss.
    ``policy``: what ``jax.checkpoint`` keeps of the loss for the backward pass; everything unless given.
    """

    task: Task
    accumulate: int = 1
    gather: Callable[[PyTree], PyTree] | None = None
    policy: Callable[..., bool] | None = None

    def __call__(self, state: TrainState, frozen: Arrays, batch: Batch, keys: Key[Array, "batch"]) -> Found:
        def mean_loss(parameters: Arrays, batch: Batch, keys: Array) -> tuple[Array, tuple[Array, Mapping[str, Array]]]:
            here = dataclasses.replace(state, parameters=parameters)
            whole = self.gather((here, frozen)) if self.gather else (here, frozen)
            values, metrics = self.task.loss(context(self.task, *whole), batch, keys)
            check_loss(self.task, values, metrics, keys)
            return jnp.mean(values), (values, metrics)

        if self.policy is not None:
            mean_loss = jax.checkpoint(mean_loss, policy=self.policy)
        differentiate = jax.value_and_grad(mean_loss, has_aux=True)
        if self.accumulate > 1:
            differentiate = _in_micro_batches(differentiate, self.accumulate)
        (loss, (values, metrics)), gradient = differentiate(state.parameters, batch, keys)
        return Found(loss, gradient, values, metrics)


def context(task: Task, state: TrainState, frozen: Arrays) -> Context:
    """The inputs of the task's loss other than the batch."""
    return Context(
        model=state.model(),
        averages=Averages(state.structure, state.averages, state.constants),
        frozen=split(task.frozen)[2].build(frozen),
        memory=state.memory,
        step=state.step,
    )


def check_loss(task: Task, values: Any, metrics: Any, keys: Array) -> None:
    """Raise a ValueError unless the loss and each of its metrics have one value per example."""
    name, batch = type(task).__name__, keys.shape
    require(
        jnp.shape(values) == batch,
        f"the loss of {name} has shape {jnp.shape(values)}; it must return one value for each example, {batch}",
    )
    for metric, each in metrics.items():
        require(
            jnp.shape(each) == batch,
            f"the metric {metric!r} of {name} has shape {jnp.shape(each)}; give one value for each example, {batch}",
        )


def _in_micro_batches(differentiate: Callable, parts: int) -> Callable:
    """The mean over parts of the batch. Part j has the rows i with i mod parts = j, so rows stay on their device."""

    def in_parts(parameters: Arrays, batch: Batch, keys: Array) -> tuple:
        size = keys.shape[0]
        require(size % parts == 0, f"accumulate = {parts} does not divide the batch of {size} on a device")
        divided = jax.tree.map(
            lambda a: jnp.moveaxis(a.reshape(size // parts, parts, *a.shape[1:]), 1, 0), (batch, keys)
        )

        def add(total: tuple, part: tuple) -> tuple:
            (value, each), gradient = differentiate(parameters, *part)
            return jax.tree.map(lambda a, b: a + b / parts, total, (value, gradient)), each

        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, parameters))
        each: Any
        (value, gradient), each = jax.lax.scan(add, zero, divided)
        whole = jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1).reshape(size, *a.shape[2:]), each)
        return (value, whole), gradient

    return in_parts
