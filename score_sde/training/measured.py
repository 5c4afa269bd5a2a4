"""A task's loss as a measurement: without gradient, without dropout, with all conditions given."""

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from score_sde.training.task import Batch, Context, Task

MeasuredLoss = Callable[..., Float[Array, "batch"]]


def measured_loss(task: Task, averages: Collection[str] = ()) -> MeasuredLoss:
    """A function (model, batch, keys, memory=…, step=…) -> (batch,), compiled once.

    In the context of the loss, the measured model also replaces each of the ``averages``.
    """

    @jax.jit
    def program(model: Any, frozen: PyTree, memory: PyTree, step: Array, batch: Batch, keys: Array) -> Array:
        context = Context(model, dict.fromkeys(averages, model), frozen, memory, step, training=False)
        return task.loss(context, batch, keys)[0]

    def loss(model: Any, batch: Batch, keys: Key[Array, "batch"], memory: PyTree = None, step: Any = 0):
        memory = task.memory if memory is None else memory
        return program(model, task.frozen, memory, jnp.asarray(step), batch, keys)

    return loss
