"""The state of training at a step: everything needed to resume exactly."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from score_sde import pytree
from score_sde.parameters import Arrays, Structure, named, split, unflatten
from score_sde.training.averages import Decay

Groups = dict[str, dict[str, Array]]
COUNTERS = ("step", "skipped", "skipped_in_row")


@dataclasses.dataclass(frozen=True)
class TrainState:
    """Parameters, their averages, the optimiser's state and the task's memory after ``step`` steps. It shares no
    arrays and is donated to each step.

    ``skipped`` counts the steps that changed nothing because their loss or gradient was not finite;
    ``skipped_in_row`` those since the last good one.
    """

    step: Int[Array, ""]
    parameters: Arrays
    constants: Arrays
    averages: dict[str, Arrays]
    optimizer: PyTree
    memory: PyTree
    skipped: Int[Array, ""]
    skipped_in_row: Int[Array, ""]
    structure: Structure = dataclasses.field(metadata={"static": True})

    @classmethod
    def create(
        cls,
        model: Any,
        optimizer: optax.GradientTransformation,
        averages: Mapping[str, Decay] | None = None,
        memory: PyTree = None,
    ) -> "TrainState":
        """The state before the first step. Arrays are copied: the model remains usable after the state is donated."""
        parameters, constants, structure = split(jax.tree.map(jnp.array, model))
        return cls(
            step=jnp.zeros((), jnp.int32),
            parameters=parameters,
            constants=constants,
            averages={name: jax.tree.map(jnp.array, parameters) for name in averages or {}},
            optimizer=optimizer.init(parameters),
            memory=jax.tree.map(jnp.array, {} if memory is None else memory),
            skipped=jnp.zeros((), jnp.int32),
            skipped_in_row=jnp.zeros((), jnp.int32),
            structure=structure,
        )

    def weights(self, name: str = "raw") -> Arrays:
        """All arrays of the model: "raw", or the name of an average."""
        return (self.parameters if name == "raw" else self.averages[name]) | self.constants

    def model(self, name: str = "raw") -> Any:
        """The model with these weights. It shares the state's arrays, which are donated to the next step."""
        return self.structure.build(self.weights(name))

    @property
    def usual(self) -> str:
        """The weights to use by default: the first average, or "raw" if there is none."""
        return next(iter(self.averages), "raw")

    def snapshot(self) -> Groups:
        """The weights and their averages as named groups of named arrays."""
        return {name: self.weights(name) for name in ("raw", *self.averages)}

    def groups(self) -> Groups:
        """Everything as named groups of named arrays, for a checkpoint."""
        counters = {name: getattr(self, name) for name in COUNTERS}
        return {
            **self.snapshot(),
            "optimizer": named(self.optimizer),
            "memory": named(self.memory),
            "counters": counters,
        }

    def with_groups(self, groups: Groups) -> "TrainState":
        """The state with the arrays of these groups."""
        return dataclasses.replace(
            self,
            **groups["counters"],  # type: ignore[arg-type]
            parameters={name: groups["raw"][name] for name in self.parameters},
            constants={name: groups["raw"][name] for name in self.constants},
            averages={name: {each: groups[name][each] for each in average} for name, average in self.averages.items()},
            optimizer=unflatten(self.optimizer, groups["optimizer"]),
            memory=unflatten(self.memory, groups.get("memory", {})),
        )


pytree.register(TrainState, static_unless_told=False)
