"""What a training is at a step: all that is needed to go on as if it had never stopped."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from score_sde import pytree
from score_sde.parameters import Arrays, Structure, split
from score_sde.training.averages import Decay


@dataclasses.dataclass(frozen=True)
class TrainState:
    """Parameters, their averages and the optimiser's state after ``step`` steps. Owned once, and donated to each step.

    ``skipped`` counts the steps whose loss or gradient was not finite and which therefore changed nothing;
    ``skipped_in_row`` those since the last good one.
    """

    step: Int[Array, ""]
    parameters: Arrays
    constants: Arrays
    averages: dict[str, Arrays]
    optimizer: PyTree
    skipped: Int[Array, ""]
    skipped_in_row: Int[Array, ""]
    structure: Structure = dataclasses.field(metadata={"static": True})

    @classmethod
    def create(
        cls, model: Any, optimizer: optax.GradientTransformation, averages: Mapping[str, Decay] | None = None
    ) -> "TrainState":
        """The state before the first step. The arrays are copied: the model stays usable when the state is donated."""
        parameters, constants, structure = split(jax.tree.map(jnp.array, model))
        return cls(
            step=jnp.zeros((), jnp.int32),
            parameters=parameters,
            constants=constants,
            averages={name: jax.tree.map(jnp.array, parameters) for name in averages or {}},
            optimizer=optimizer.init(parameters),
            skipped=jnp.zeros((), jnp.int32),
            skipped_in_row=jnp.zeros((), jnp.int32),
            structure=structure,
        )

    def weights(self, name: str = "raw") -> Arrays:
        """All arrays of the model: "raw", or the name of an average."""
        return (self.parameters if name == "raw" else self.averages[name]) | self.constants

    def model(self, name: str = "raw") -> Any:
        """The model with these weights. It shares the state's arrays, which the next step takes away."""
        return self.structure.build(self.weights(name))


pytree.register(TrainState, static_unless_told=False)
