"""Parallelism over devices. Every strategy computes the same step:

"mesh"   ``jax.jit`` over all devices of all hosts: the batch is divided over the axis "data", parameters are whole on
         each device, and XLA adds the gradients up.
         With rules the state is divided too (FSDP): see ``fsdp``. The optimiser and the averages work on each device's
         part.
"pmap"   ``jax.pmap``, as in the original: each device has a copy of everything and differentiates the loss of its part
         of the batch; the mean of the gradients is taken over the axis "data". (The raw batch is gathered on each
         device: the examples' keys and the task's ``remember`` refer to all of it.)

``Gradient`` computes the gradient; with rules ``divided_gradient`` wraps it, under pmap ``mean_of_copies``. The step knows
neither.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Key, PyTree

from score_sde.checks import require
from score_sde.devices import AXIS, divided, mesh, put, whole
from score_sde.parameters import Arrays, named, unflatten
from score_sde.randomness import example_keys
from score_sde.training.fsdp import divided_gradient
from score_sde.training.gradient import Differentiate, Found, Gradient
from score_sde.training.state import TrainState
from score_sde.training.step import Batch, Metrics, TrainStep

Layout: TypeAlias = str | tuple[str | None, ...]  # "whole", "largest", or for each axis "data" or None
Rule: TypeAlias = tuple[str, Layout]
FSDP: tuple[Rule, ...] = ((".*", "largest"),)
SMALL = 1024
"""Arrays of fewer elements are not sharded by "largest": it would save little memory for the cost of gathering."""
Program: TypeAlias = Callable[[TrainState, Arrays, Sequence[Batch], Key[Array, ""]], tuple[TrainState, Metrics]]


@dataclasses.dataclass(frozen=True)
class Parallel:
    """A strategy over devices. ``rules``: (regular expression, layout) pairs, of which the first that is found in the
    name of an array decides: "whole", "largest" (its largest axis that the devices divide; whole if the array is small),
    or a tuple such as (None, "data"). Arrays that no rule finds are whole. "fsdp" is "largest" for every array.
    ``regather``: divided parameters are gathered again for the backward pass, instead of kept whole since the forward
    pass. It decides alone what is kept: blocks with remat inside the network need ``regather=False``.
    """

    strategy: Literal["mesh", "pmap"] = "mesh"
    rules: Literal["fsdp"] | Sequence[Rule] = ()
    regather: bool = True
    devices: tuple[jax.Device, ...] | None = None  # all of them

    def __post_init__(self):
        require(self.strategy in ("mesh", "pmap"), f'strategy = {self.strategy!r}; allowed: "mesh", "pmap"')
        require(
            self.strategy == "mesh" or not self.rules,
            'strategy = "pmap" keeps whole parameters on each device; use strategy = "mesh" to divide them by rules',
        )
        require(
            self.rules == "fsdp" or not isinstance(self.rules, str),
            f'rules = {self.rules!r}; allowed: "fsdp", or (regular expression, layout) pairs',
        )

    @cached_property
    def mesh(self) -> jax.sharding.Mesh:
        """The mesh of devices with one axis, "data"."""
        return mesh(self.devices)

    @property
    def axis_name(self) -> str | None:
        """The axis over which a loss sees its device's part of the batch; None if it sees the whole batch."""
        return AXIS if self.strategy == "pmap" or self.rules else None

    @property
    def batch_sharding(self) -> NamedSharding | None:
        """How the pipeline places batches; None for pmap, which takes this host's rows."""
        return divided(self.mesh) if self.strategy == "mesh" else None

    def check_batch_size(self, batch_size: int, accumulate: int = 1) -> None:
        """Raise a ValueError unless devices, and micro-batches on each, get equal numbers of examples."""
        parts, n = self.mesh.size * accumulate, self.mesh.size
        require(
            batch_size % parts == 0,
            f"batch_size = {batch_size} cannot be divided over {n} devices"
            + (f" and {accumulate} parts (accumulate)" if accumulate > 1 else "")
            + f"; choose a multiple of {parts}, such as {max(1, round(batch_size / parts)) * parts}",
        )

    def shardings(self, state: PyTree) -> PyTree:
        """The sharding of each array of a state under the rules."""
        layouts = {name: self._sharding(name, leaf.shape) for name, leaf in named(state).items()}
        return unflatten(state, layouts)

    def place(self, tree: PyTree) -> PyTree:
        """Place a state, or frozen arrays, on the devices; all hosts must hold the same values."""
        return jax.tree.map(put, tree, self.shardings(tree))

    def distribute(self, gradient: Gradient) -> Differentiate:
        """The same gradient over the devices, an argument of ``make_train_step``."""
        if self.strategy == "pmap":
            return mean_of_copies(gradient)
        return self._divided(gradient) if self.rules else gradient

    def compile(self, train_step: TrainStep) -> Program:
        """(state, frozen, batches, key) -> (state, metrics with one entry per batch): a step per batch, in one call.

        The state is donated, the frozen arrays are not. A new number of batches triggers a new compilation.
        """

        def program(
            state: TrainState, frozen: Arrays, batches: Sequence[Batch], key: Key[Array, ""]
        ) -> tuple[TrainState, Metrics]:
            state, frozen = self._laid_out(state), self._laid_out(frozen)
            if self.strategy == "pmap":
                batches = jax.lax.all_gather(tuple(batches), AXIS, tiled=True)
            if len(batches) == 1:  # XLA optimises better without a loop
                keys = example_keys(key, state.step, batches[0]["position"])
                state, metrics = train_step(state, frozen, batches[0], keys)
                metrics = jax.tree.map(lambda a: a[None], metrics)
            else:

                def one(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
                    return train_step(state, frozen, batch, example_keys(key, state.step, batch["position"]))

                state, metrics = jax.lax.scan(one, state, jax.tree.map(lambda *rows: jnp.stack(rows), *batches))
            return self._laid_out(state), self._whole(metrics)

        return jax.jit(program, donate_argnums=0) if self.strategy == "mesh" else self._over_copies(program)

    def _divided(self, gradient: Gradient) -> Differentiate:
        def divided(state: TrainState, frozen: Arrays, batch: Batch, keys: Key[Array, "batch"]) -> Found:
            state = dataclasses.replace(state, optimizer=None)  # nothing that a loss needs
            specs = jax.tree.map(lambda sharding: sharding.spec, (self.shardings(state), self.shardings(frozen)))
            over = divided_gradient(gradient, self.mesh, specs[0], specs[1], self.regather)
            return over(state, frozen, batch, keys)

        return divided

    def _laid_out(self, tree: PyTree) -> PyTree:
        """Apply the rules inside a compiled step; no effect with pmap."""
        return jax.lax.with_sharding_constraint(tree, self.shardings(tree)) if self.strategy == "mesh" else tree

    def _whole(self, tree: PyTree) -> PyTree:
        return jax.lax.with_sharding_constraint(tree, whole(self.mesh)) if self.strategy == "mesh" else tree

    def _over_copies(self, program: Program) -> Program:
        devices = [d for d in self.mesh.devices.flat if d.process_index == jax.process_index()]
        mapped = jax.pmap(
            program,
            AXIS,
            in_axes=(None, None, 0, None),
            out_axes=(None, None),
            donate_argnums=0,
            devices=self.devices,
        )

        def over_devices(
            state: TrainState, frozen: Arrays, batches: Sequence[Batch], key: Key[Array, ""]
        ) -> tuple[TrainState, Metrics]:
            rows = jax.tree.map(lambda a: np.asarray(a).reshape(len(devices), -1, *a.shape[1:]), tuple(batches))
            return mapped(state, frozen, rows, key)

        return over_devices

    def _sharding(self, name: str, shape: tuple[int, ...]) -> NamedSharding:
        rules = FSDP if self.rules == "fsdp" else self.rules
        layout = next((layout for pattern, layout in rules if re.search(pattern, name)), "whole")
        return NamedSharding(self.mesh, PartitionSpec(*_axes(name, layout, shape, self.mesh.size)))


def _axes(name: str, layout: Layout, shape: tuple[int, ...], n: int) -> tuple[str | None, ...]:
    if layout == "whole" or not shape:
        return ()
    if layout == "largest":
        fitting = [axis for axis, size in enumerate(shape) if size % n == 0 and math.prod(shape) >= SMALL]
        if not fitting:
            return ()
        largest = max(fitting, key=lambda axis: shape[axis])
        return tuple(AXIS if axis == largest else None for axis in range(len(shape)))
    fits = isinstance(layout, tuple) and len(layout) == len(shape) and set(layout) <= {AXIS, None}
    divided = [size for size, axis in zip(shape, layout, strict=False) if axis == AXIS] if fits else []
    require(
        fits and len(divided) <= 1 and all(size % n == 0 for size in divided),
        f'the layout {layout!r} does not fit {name} of shape {shape}: "whole", "largest", or a tuple with None for each of '
        f'its {len(shape)} axes, and "data" for at most one that the {n} devices divide',
    )
    return layout  # type: ignore[return-value]


def mean_of_copies(gradient: Gradient) -> Differentiate:
    """The gradient under ``jax.pmap``: each device takes an equal number of rows of the batch."""

    def over_copies(state: TrainState, frozen: Arrays, batch: Batch, keys: Key[Array, "batch"]) -> Found:
        size = keys.shape[0] // jax.lax.axis_size(AXIS)
        first = size * jax.lax.axis_index(AXIS)
        own = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, first, size), (batch, keys))
        found = gradient(state, frozen, *own)
        loss, total = jax.lax.pmean((found.loss, found.gradient), AXIS)
        values, metrics = jax.lax.all_gather((found.values, found.metrics), AXIS, tiled=True)
        return Found(loss, total, values, metrics)

    return over_copies
