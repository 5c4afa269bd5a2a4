"""Frozen dataclasses as JAX pytrees: each field a leaf (or a tree of leaves), or a static part of the structure."""

import dataclasses
from typing import Any

import jax


def register(cls: type, *, static_unless_told: bool) -> None:
    """Make a dataclass a pytree. ``field(metadata={"static": ...})`` says of one field that it is static or not.

    Unlike ``jax.tree_util.register_dataclass`` this does not call ``__init__`` when JAX puts a value together again:
    the fields were checked when the value was made, and may be tracers or placeholders now. The fields are read from
    the instance, so that a subclass may be registered before ``@dataclass`` has added its own.
    """

    def flatten_with_keys(value) -> tuple[list, tuple]:
        leaves: dict[str, Any] = {}
        static: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            where = static if field.metadata.get("static", static_unless_told) else leaves
            where[field.name] = getattr(value, field.name)
        keyed = [(jax.tree_util.GetAttrKey(name), leaf) for name, leaf in leaves.items()]
        return keyed, (tuple(leaves), tuple(static.items()))

    def flatten(value) -> tuple[list, tuple]:
        keyed, structure = flatten_with_keys(value)
        return [leaf for _, leaf in keyed], structure

    def unflatten(structure: tuple, leaves) -> Any:
        value: Any = object.__new__(cls)
        for name, leaf in [*zip(structure[0], leaves, strict=True), *structure[1]]:
            object.__setattr__(value, name, leaf)
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
