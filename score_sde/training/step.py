"""One step of training: a function of the state, the batch and the keys of its examples, the same for all strategies.

    θ ← θ − optimiser(∇_θ mean_i loss_i(θ)),   θ̄ ← β θ̄ + (1 − β) θ,   θ ← projection(θ)

Randomness belongs to the example: its key is fold_in(fold_in(key, step), position in the global batch), so that the
step does not depend on how the batch lies over devices, nor on how often the run was killed.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from score_sde.checks import require
from score_sde.parameters import Arrays, split
from score_sde.training import averages as averaging
from score_sde.training.averages import Decay
from score_sde.training.state import TrainState
from score_sde.training.task import Averages, Batch, Context, Task

Metrics: TypeAlias = dict[str, Array]
TrainStep: TypeAlias = Callable[[TrainState, Arrays, Batch, Key[Array, "batch"]], tuple[TrainState, Metrics]]


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    averages: Mapping[str, Decay] | None = None,
    *,
    accumulate: int = 1,
    axis_name: str | None = None,
) -> TrainStep:
    """The function (state, frozen, batch, keys) -> (state, metrics), to be put under ``jax.jit`` or ``jax.pmap``.

    ``frozen``: the arrays of ``task.frozen`` by name (``frozen_arrays``). Metrics are the loss, the norms of gradient and
    parameters, the counts of skipped steps, and the mean of each of the task's own. ``accumulate``: the batch is processed
    in so many micro-batches to save memory; it is the same step. ``axis_name``: the axis of ``jax.pmap`` or
    ``jax.shard_map`` over which the batch lies; under jit XLA inserts the reduction.
    """
    require(accumulate >= 1, f"accumulate = {accumulate}; allowed: 1 or more micro-batches")
    decays = dict(averages or {})
    *_, frozen_structure = split(task.frozen)
    optimizer = optax.with_extra_args_support(optimizer)

    def train_step(
        state: TrainState, frozen: Arrays, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[TrainState, Metrics]:
        def context(parameters: Arrays) -> Context:
            model = state.structure.build(parameters, state.constants)
            means = Averages(state.structure, state.averages, state.constants)
            return Context(model, means, frozen_structure.build(frozen), state.memory, state.step)

        def mean_loss(parameters: Arrays, batch: Batch, keys: Array) -> tuple[Array, tuple[Array, Mapping[str, Array]]]:
            values, metrics = task.loss(context(parameters), batch, keys)
            check_loss(task, values, metrics, keys)
            return jnp.mean(values), (values, metrics)

        if accumulate == 1:
            differentiate = jax.value_and_grad(mean_loss, has_aux=True)
            (value, (values, found)), gradient = differentiate(state.parameters, batch, keys)
        else:
            (value, (values, found)), gradient = _in_micro_batches(mean_loss, state.parameters, batch, keys, accumulate)
        means = {name: jnp.mean(each) for name, each in found.items()}
        memory = jax.lax.stop_gradient(task.remember(context(state.parameters), batch, values, found))
        if axis_name is not None:
            value, gradient, means = jax.lax.pmean((value, gradient, means), axis_name)
            memory = jax.tree.map(lambda a: jax.lax.pmean(a, axis_name) if _is_floating(a) else a, memory)

        norm = optax.tree.norm(gradient)
        updates, moments = optimizer.update(gradient, state.optimizer, state.parameters, step=state.step)
        parameters = optax.apply_updates(state.parameters, updates)
        averaged = {
            name: averaging.update(average, parameters, decays[name](state.step + 1))
            for name, average in state.averages.items()
        }
        projected = task.after_update(state.structure.build(parameters, state.constants), context(state.parameters))
        parameters = split(projected)[0]
        good = jnp.isfinite(value) & jnp.isfinite(norm)

        def keep(new: PyTree, old: PyTree) -> PyTree:
            return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)

        new = dataclasses.replace(
            state,
            step=state.step + 1,
            parameters=keep(parameters, state.parameters),
            averages=keep(averaged, state.averages),
            optimizer=keep(moments, state.optimizer),
            memory=keep(memory, state.memory),
            skipped=state.skipped + ~good,
            skipped_in_row=jnp.where(good, 0, state.skipped_in_row + 1),
        )
        metrics = {"loss": value, "grad_norm": norm, "param_norm": optax.tree.norm(parameters), "skipped": new.skipped}
        return new, metrics | means | {"skipped_in_row": new.skipped_in_row}

    return train_step


def frozen_arrays(task: Task) -> Arrays:
    """The arrays of a task's frozen models by name."""
    parameters, constants, _ = split(task.frozen)
    return parameters | constants


def check_frozen(task: Task, model: Any) -> None:
    """A ValueError if an array of the model is also one of the frozen models': it cannot be both."""
    frozen = {id(leaf): name for name, leaf in frozen_arrays(task).items()}
    parameters, _, _ = split(model)
    both = [f"{name} is frozen.{frozen[id(leaf)]}" for name, leaf in parameters.items() if id(leaf) in frozen]
    require(
        not both,
        f"{len(both)} arrays of the model are trained and frozen too, such as {', '.join(both[:3])}; copy them "
        "(jax.tree.map(jnp.copy, model)), or leave them out of the task's frozen",
    )


def check_loss(task: Task, values: Any, metrics: Any, keys: Array) -> None:
    """A ValueError unless a loss has one value for each example, and so has each of its metrics."""
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


def _in_micro_batches(mean_loss: Callable, parameters: Arrays, batch: Batch, keys: Array, parts: int) -> tuple:
    """The mean over parts of the batch. Part j has the rows i with i mod parts = j, so that each device keeps its own."""
    size = keys.shape[0]
    require(size % parts == 0, f"accumulate = {parts} does not divide the batch of {size} on a device")
    differentiate = jax.value_and_grad(mean_loss, has_aux=True)
    divided = jax.tree.map(lambda a: jnp.moveaxis(a.reshape(size // parts, parts, *a.shape[1:]), 1, 0), (batch, keys))

    def add(total: tuple, part: tuple) -> tuple:
        (value, each), gradient = differentiate(parameters, *part)
        return jax.tree.map(lambda a, b: a + b / parts, total, (value, gradient)), each

    zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, parameters))
    each: Any
    (value, gradient), each = jax.lax.scan(add, zero, divided)
    whole = jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1).reshape(size, *a.shape[2:]), each)
    return (value, whole), gradient


def _is_floating(a: Any) -> bool:
    return jnp.issubdtype(jnp.asarray(a).dtype, jnp.floating)
