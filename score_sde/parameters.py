"""A model's arrays by name, such as "down.0.blocks.1.conv_0.kernel", and the model rebuilt from them.

Checkpoints, sharding rules and groups of parameters refer to these names. They are paths in the network, without the
prefix of the denoiser around it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, PyTree

Arrays = dict[str, Any]  # arrays, or their placeholders in an abstract model


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Structure:
    """The tree structure of a model and the names of its arrays."""

    treedef: Any
    names: tuple[str, ...]

    def build(self, *arrays: Mapping[str, Array]) -> Any:
        """The model with these arrays, which may be in several dictionaries."""
        merged: dict[str, Array] = {}
        for part in arrays:
            merged |= part
        return jax.tree.unflatten(self.treedef, [merged[name] for name in self.names])


def split(model: Any) -> tuple[Arrays, Arrays, Structure]:
    """(trained parameters, constants, structure). Constants are NNX variables other than ``nnx.Param``, such as random
    frequencies, and all arrays that are not floating-point.
    """
    variables, _ = jax.tree_util.tree_flatten_with_path(model, is_leaf=lambda node: isinstance(node, nnx.Variable))
    leaves, treedef = jax.tree.flatten(model)
    parameters: Arrays = {}
    constants: Arrays = {}
    names: list[str] = []
    for (path, variable), leaf in zip(variables, leaves, strict=True):
        name = _name(path)
        names.append(name)
        floating = jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)
        trained = floating and (isinstance(variable, nnx.Param) or not isinstance(variable, nnx.Variable))
        (parameters if trained else constants)[name] = leaf
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two arrays of the model are called {twice!r}; rename one of the fields")
    return parameters, constants, Structure(treedef, tuple(names))


def named(tree: PyTree) -> Arrays:
    """The leaves of any tree, such as an optimiser's state, by path."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def unflatten(tree: PyTree, arrays: Mapping[str, Any]) -> PyTree:
    """The inverse of ``named``: a tree with the structure of ``tree`` and these arrays."""
    return jax.tree_util.tree_map_with_path(lambda path, _: arrays[_name(path)], tree)


def _name(path: tuple) -> str:
    parts = [_part(key) for key in path]
    while len(parts) > 1 and parts[0] == "network":
        del parts[0]
    return ".".join(parts)


def _part(key: Any) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
