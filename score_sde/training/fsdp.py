"""The gradient with respect to parameters that are sharded over devices (FSDP, ZeRO-3; Rajbhandari et al. 2020).

Each device computes the loss of its part of the batch. It gathers each sharded array where the loss uses it, once in
the forward pass and again in the backward pass, so no full parameter is kept between. The transpose of the gather sums
the gradients of all devices and leaves each device its shard (a reduce-scatter). Gradients of replicated arrays are
summed by an all-reduce. Activations are never exchanged.
"""

import dataclasses
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Key, PyTree

from score_sde.devices import AXIS
from score_sde.parameters import Arrays
from score_sde.training.gradient import GATHERED, Differentiate, Found, Gradient
from score_sde.training.state import TrainState
from score_sde.training.task import Batch


def divided_gradient(gradient: Gradient, mesh: Mesh, state: PyTree, frozen: PyTree) -> Differentiate:
    """The gradient on this mesh; ``state`` and ``frozen`` have a PartitionSpec in place of each array."""
    rows: Any = PartitionSpec(AXIS)
    number: Any = PartitionSpec()

    def gather(arrays: PyTree) -> PyTree:
        return jax.tree.map(_gathered, arrays, (state, frozen))

    def local(state_: TrainState, frozen_: Arrays, batch: Batch, keys: Key[Array, "batch"]) -> Found:
        found = dataclasses.replace(gradient, gather=gather)(state_, frozen_, batch, keys)
        total = jax.tree.map(_mean, found.gradient, state.parameters)
        return found._replace(loss=jax.lax.pmean(found.loss, AXIS), gradient=total)

    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(state, frozen, rows, rows),
        out_specs=Found(number, state.parameters, rows, rows),
        check_vma=False,  # a user's loss need not declare which values vary between devices
    )


def _gathered(array: Array, spec: PartitionSpec) -> Array:
    if AXIS not in spec:
        return array
    return checkpoint_name(jax.lax.all_gather(array, AXIS, axis=spec.index(AXIS), tiled=True), GATHERED)


def _mean(gradient: Array, spec: PartitionSpec) -> Array:
    """The mean over devices; that of a sharded array is already summed."""
    return gradient / jax.lax.axis_size(AXIS) if AXIS in spec else jax.lax.pmean(gradient, AXIS)
