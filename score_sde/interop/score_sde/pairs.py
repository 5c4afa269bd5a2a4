"""A parameter of ours and a tensor of theirs, in both directions, and the pairs of common layers."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx


@dataclasses.dataclass(frozen=True)
class Pair:
    """One parameter under both names: their tensor is ours with permuted axes, without axes that they do not have."""

    variable: nnx.Variable
    theirs: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    """Of theirs."""

    def to_theirs(self) -> np.ndarray:
        """Our value as their tensor."""
        return np.transpose(np.asarray(self.variable[...]), self.axes).reshape(self.shape)

    def to_ours(self, tensor: Any) -> Any:
        """Their tensor as our value."""
        theirs = np.asarray(tensor).reshape([self.variable.shape[axis] for axis in self.axes])
        return jnp.asarray(np.transpose(theirs, np.argsort(self.axes)), self.variable.dtype)


def pair(variable: nnx.Variable, name: str, axes: tuple[int, ...] | None = None) -> Pair:
    """A parameter, and the order of its axes in their tensor."""
    axes = tuple(range(variable.ndim)) if axes is None else axes
    return Pair(variable, name, axes, tuple(variable.shape[axis] for axis in axes))


def under(prefix: str, *parts: list[Pair]) -> list[Pair]:
    """The pairs of modules inside a module of this name."""
    return [dataclasses.replace(one, theirs=f"{prefix}.{one.theirs}") for part in parts for one in part]


def conv(layer: Any) -> list[Pair]:
    """kernel (*size, in, out) <-> weight (out, in, *size)."""
    dims = layer.kernel.ndim - 2
    weight = pair(layer.kernel, "weight", (dims + 1, dims, *range(dims)))
    return [weight] if layer.bias is None else [weight, pair(layer.bias, "bias")]


def dense(layer: Any) -> list[Pair]:
    """kernel (in, out) <-> weight (out, in)."""
    return [pair(layer.kernel, "weight", (1, 0)), pair(layer.bias, "bias")]


def norm(layer: Any) -> list[Pair]:
    """scale <-> weight."""
    return [pair(layer.scale, "weight"), pair(layer.bias, "bias")]
