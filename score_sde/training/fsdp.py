"""The gradient with respect to parameters that are sharded over devices (FSDP, ZeRO-3; Rajbhandari et al. 2020).

Each device computes the loss of its part of the batch. It gathers each divided array for the forward pass and, with
``regather``, again for the backward pass, so that no whole parameter is kept in between. The transpose of the gather sums
the gradients of all devices and leaves each device its part (a reduce-scatter). Gradients of arrays that are not divided
are summed by an all-reduce. Activations are never exchanged.
"""

import dataclasses
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Key, PyTree

from score_sde.devices import AXIS
from score_sde.parameters import Arrays
from score_sde.training.gradient import Differentiate, Found, Gradient
from score_sde.training.state import TrainState
from score_sde.training.task import Batch


def divided_gradient(
    gradient: Gradient, mesh: Mesh, state: PyTree, frozen: PyTree, regather: bool = True
) -> Differentiate:
    """The gradient on this mesh; ``state`` and ``frozen`` hold a PartitionSpec in place of each array."""
    rows: Any = PartitionSpec(AXIS)
    number: Any = PartitionSpec()

    def gather(arrays: PyTree) -> PyTree:
        return jax.tree.map(_gathered, arrays, (state, frozen))

    def local(state_: TrainState, frozen_: Arrays, batch: Batch, keys: Key[Array, "batch"]) -> Found:
        whole = dataclasses.replace(gradient, gather=gather, policy=_kept if regather else None)
        found = whole(state_, frozen_, batch, keys)
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
    return jax.lax.all_gather(array, AXIS, axis=spec.index(AXIS), tiled=True)


def _kept(primitive: Primitive, *_: Any, **__: Any) -> bool:
    """Whether the backward pass keeps a result of the forward pass: all but gathered arrays and their other forms."""
    return primitive.name not in ("all_gather", "convert_element_type", "reshape", "transpose")


def _mean(gradient: Array, spec: PartitionSpec) -> Array:
    """The mean over devices; that of a sharded array is already summed."""
    return gradient / jax.lax.axis_size(AXIS) if AXIS in spec else jax.lax.pmean(gradient, AXIS)
