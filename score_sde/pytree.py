"""Frozen dataclasses as JAX pytrees: each field is a leaf (or a tree of leaves) or a static part of the structure."""

import dataclasses
from typing import Any

import jax


def register(cls: type, *, static_unless_told: bool) -> None:
    """Register a dataclass as a pytree. ``field(metadata={"static": ...})`` declares whether a field is static.

    Unlike ``jax.tree_util.register_dataclass`` this does not call ``__init__`` when JAX rebuilds a value: the fields
    were checked when the value was created, and may now be tracers or placeholders. The fields are read from the
    instance, so a subclass can be registered before ``@dataclass`` adds its own.
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
