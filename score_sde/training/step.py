"""One step of training: a function of the state, the batch and the keys of its examples, the same for all strategies.

    θ ← θ − optimiser(∇_θ mean_i loss_i(θ)),   θ̄ ← β θ̄ + (1 − β) θ

Randomness belongs to the example: its key is fold_in(fold_in(key, step), position in the global batch), so that the
step does not depend on how the batch lies over devices, nor on how often the run was killed.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from score_sde.checks import require
from score_sde.training import averages as averaging
from score_sde.training.averages import Decay
from score_sde.training.state import TrainState

Batch: TypeAlias = PyTree  # leaves lead with the batch
Metrics: TypeAlias = dict[str, Array]
Loss: TypeAlias = Callable[[Any, Batch, Key[Array, "batch"], Int[Array, ""]], tuple[Float[Array, "batch"], PyTree]]
TrainStep: TypeAlias = Callable[[TrainState, Batch, Key[Array, "batch"]], tuple[TrainState, Metrics]]


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    averages: Mapping[str, Decay] | None = None,
    *,
    accumulate: int = 1,
    metrics: Callable[[TrainState, Any, PyTree], Mapping[str, Array]] | None = None,
    axis_name: str | None = None,
) -> TrainStep:
    """The function (state, batch, keys) -> (state, metrics), to be put under ``jax.jit`` or ``jax.pmap``.

    ``loss(model, batch, keys, step) -> (per example, aux)``. ``metrics(state, gradient, aux)`` adds your own to loss,
    gradient norm and parameter norm (``gradient`` and ``aux`` as the whole batch left them). ``accumulate``: the batch
    is worked off in so many parts, one after the other, for the memory's sake; it is the same step. ``axis_name``: the
    axis of ``jax.pmap`` or ``jax.shard_map`` over which the batch lies; under jit XLA sees to it.
    """
    require(accumulate >= 1, f"accumulate = {accumulate}; allowed: 1 or more parts")
    averages = dict(averages or {})

    def train_step(state: TrainState, batch: Batch, keys: Key[Array, "batch"]) -> tuple[TrainState, Metrics]:
        def mean_loss(parameters, batch, keys):
            values, aux = loss(state.structure.build(parameters, state.constants), batch, keys, state.step)
            return jnp.mean(values), aux

        differentiate = jax.value_and_grad(mean_loss, has_aux=True)
        if accumulate == 1:
            (value, aux), gradient = differentiate(state.parameters, batch, keys)
        else:
            (value, aux), gradient = _in_parts(differentiate, state.parameters, (batch, keys), accumulate)
        if axis_name is not None:
            value, gradient = jax.lax.pmean((value, gradient), axis_name)

        norm = optax.tree.norm(gradient)
        updates, moments = optimizer.update(gradient, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        means = {
            name: averaging.update(average, parameters, averages[name](state.step + 1))
            for name, average in state.averages.items()
        }
        good = jnp.isfinite(value) & jnp.isfinite(norm)

        def keep(new: PyTree, old: PyTree) -> PyTree:
            return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)

        new = dataclasses.replace(
            state,
            step=state.step + 1,
            parameters=keep(parameters, state.parameters),
            averages=keep(means, state.averages),
            optimizer=keep(moments, state.optimizer),
            skipped=state.skipped + ~good,
            skipped_in_row=jnp.where(good, 0, state.skipped_in_row + 1),
        )
        found = {"loss": value, "grad_norm": norm, "param_norm": optax.tree.norm(parameters), "skipped": new.skipped}
        if metrics is not None:
            found |= metrics(state, gradient, aux)
        return new, found | {"skipped_in_row": new.skipped_in_row}

    return train_step


def _in_parts(differentiate: Callable, parameters: PyTree, rows: PyTree, parts: int) -> tuple[tuple, PyTree]:
    """The mean over parts of the batch. Part j has the rows i with i mod parts = j, so that each device keeps its own."""
    size = jax.tree.leaves(rows)[0].shape[0]
    require(size % parts == 0, f"accumulate = {parts} does not divide the batch of {size} on a device")
    split = jax.tree.map(lambda a: jnp.moveaxis(a.reshape(size // parts, parts, *a.shape[1:]), 1, 0), rows)

    def add(total, part):
        (value, aux), gradient = differentiate(parameters, *part)
        return jax.tree.map(lambda a, b: a + b / parts, total, (value, gradient)), aux

    zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, parameters))
    (value, gradient), aux = jax.lax.scan(add, zero, split)
    return (value, jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1).reshape(size, *a.shape[2:]), aux)), gradient
