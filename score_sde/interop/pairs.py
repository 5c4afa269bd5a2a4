"""A parameter of ours and a tensor of theirs, in both directions; the pairs of common layers; tensors that do not fit."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from score_sde.checks import some_of


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

    def load(self, tensor: Any) -> None:
        """Take their tensor as our value."""
        self.variable.set_value(self.to_ours(tensor))


@dataclasses.dataclass(frozen=True)
class Stacked:
    """Several parameters of ours that are one tensor of theirs, one after the other along its first axis."""

    parts: tuple[Pair, ...]
    theirs: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of theirs."""
        return (sum(part.shape[0] for part in self.parts), *self.parts[0].shape[1:])

    def to_theirs(self) -> np.ndarray:
        """Our values as their tensor."""
        return np.concatenate([part.to_theirs() for part in self.parts])

    def load(self, tensor: Any) -> None:
        """Take their tensor as our values."""
        ends = np.cumsum([part.shape[0] for part in self.parts])[:-1]
        for part, piece in zip(self.parts, np.split(np.asarray(tensor), ends), strict=True):
            part.load(piece)


def pair(variable: nnx.Variable, name: str, axes: tuple[int, ...] | None = None) -> Pair:
    """A parameter, and the order of its axes in their tensor."""
    axes = tuple(range(variable.ndim)) if axes is None else axes
    return Pair(variable, name, axes, tuple(variable.shape[axis] for axis in axes))


def under(prefix: str, *parts: Sequence[Any]) -> list[Any]:
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


def misfits(pairs: Sequence[Any], tensors: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """The names (missing, left over, of another shape, with both shapes) of tensors for these pairs."""
    expected = {one.theirs: one for one in pairs}
    missing = [name for name in expected if name not in tensors]
    left_over = [name for name in tensors if name not in expected]
    misshapen = [
        f"{name} {tuple(np.shape(tensors[name]))} instead of {one.shape}"
        for name, one in expected.items()
        if name in tensors and tuple(np.shape(tensors[name])) != one.shape
    ]
    return missing, left_over, misshapen


def listed(missing: list[str], left_over: list[str], misshapen: list[str]) -> list[str]:
    """A line for each kind of misfit."""
    kinds = (("missing", missing), ("left over", left_over), ("of another shape", misshapen))
    return [f"  {len(names)} {what}: {some_of(names, 8)}" for what, names in kinds if names]
