"""One training step, a function of the state, the batch and the keys of its examples, the same for all strategies.

    θ ← θ − optimiser(∇_θ mean_i loss_i(θ)),   θ̄ ← β θ̄ + (1 − β) θ,   θ ← projection(θ)

Each example has its own key, fold_in(fold_in(key, step), position in the global batch), so the step does not depend
on how the batch is divided over devices, nor on interruptions of the run.
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
from score_sde.training.gradient import Differentiate, Gradient, context
from score_sde.training.state import TrainState
from score_sde.training.task import Batch, Task

Metrics: TypeAlias = dict[str, Array]
TrainStep: TypeAlias = Callable[[TrainState, Arrays, Batch, Key[Array, "batch"]], tuple[TrainState, Metrics]]


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    averages: Mapping[str, Decay] | None = None,
    *,
    accumulate: int = 1,
    distribute: Callable[[Gradient], Differentiate] = lambda gradient: gradient,
) -> TrainStep:
    """The function (state, frozen, batch, keys) -> (state, metrics), to be compiled by ``jax.jit``.

    ``frozen``: the arrays of ``task.frozen`` by name (``frozen_arrays``). Metrics are the loss, the norms of gradient and
    parameters, the counts of skipped steps, and the mean of each of the task's own. ``accumulate``: the batch is processed
    in this many micro-batches to save memory; the step is the same, but for stratified times, which are even over each
    micro-batch. ``distribute``: how the gradient is computed over devices
    (``Parallel.distribute``); without it XLA decides.
    """
    require(accumulate >= 1, f"accumulate = {accumulate}; allowed: 1 or more micro-batches")
    decays = dict(averages or {})
    differentiate = distribute(Gradient(task, accumulate))
    optimizer = optax.with_extra_args_support(optimizer)

    def train_step(
        state: TrainState, frozen: Arrays, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[TrainState, Metrics]:
        found = differentiate(state, frozen, batch, keys)
        before = context(task, state, frozen)
        norm = optax.tree.norm(found.gradient)
        updates, moments = optimizer.update(found.gradient, state.optimizer, state.parameters, step=state.step)
        parameters = optax.apply_updates(state.parameters, updates)
        averaged = {
            name: averaging.update(average, parameters, decays[name](state.step + 1))
            for name, average in state.averages.items()
        }
        projected = task.after_update(state.structure.build(parameters, state.constants), before)
        memory = task.remember(before, batch, found.values, found.metrics)
        good = jnp.isfinite(found.loss) & jnp.isfinite(norm)

        def keep(new: PyTree, old: PyTree) -> PyTree:
            return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)

        new = dataclasses.replace(
            state,
            step=state.step + 1,
            parameters=keep(split(projected)[0], state.parameters),
            averages=keep(averaged, state.averages),
            optimizer=keep(moments, state.optimizer),
            memory=keep(memory, state.memory),
            skipped=state.skipped + ~good,
            skipped_in_row=jnp.where(good, 0, state.skipped_in_row + 1),
        )
        metrics = {
            "loss": found.loss,
            "grad_norm": norm,
            "param_norm": optax.tree.norm(new.parameters),
            **{name: jnp.mean(each) for name, each in found.metrics.items()},
            "skipped": new.skipped,
            "skipped_in_row": new.skipped_in_row,
        }
        return new, metrics

    return train_step


def frozen_arrays(task: Task) -> Arrays:
    """The arrays of a task's frozen models by name."""
    parameters, constants, _ = split(task.frozen)
    return parameters | constants


def check_frozen(task: Task, model: Any) -> None:
    """Raise a ValueError if an array of the model also belongs to a frozen model."""
    frozen = {id(leaf): name for name, leaf in frozen_arrays(task).items()}
    parameters, _, _ = split(model)
    both = [f"{name} is frozen.{frozen[id(leaf)]}" for name, leaf in parameters.items() if id(leaf) in frozen]
    require(
        not both,
        f"{len(both)} arrays of the model are trained and frozen too, such as {', '.join(both[:3])}; copy them "
        "(jax.tree.map(jnp.copy, model)), or leave them out of the task's frozen",
    )
