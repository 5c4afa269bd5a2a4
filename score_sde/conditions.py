"""The condition of a model: a flat tree of named leaves, and the source of each leaf.

    conditions = Conditions({"label": Leaf(classes=10)})
    conditions.of(batch)            {"label": batch["label"]}
    conditions.make(16, label=3)    {"label": (16,) threes}; a text is given in words, text=["a red circle"]
    conditions.null                 {"label": 10}: the value that means "no condition"

The same specification determines the loss (which leaves are dropped, and what replaces them), guidance,
``run.condition`` and evaluation. Labels are one example.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key, PyTree

from score_sde import pytree
from score_sde.checks import require
from score_sde.randomness import Purpose, for_each

Condition: TypeAlias = PyTree  # None, or a flat dictionary of arrays (batch, ...)


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One leaf of a condition.

    key        the entry of an example from which it is made; by default the name of the leaf
    classes    the number of classes of labels 0 ... classes − 1, which is then also the null value
    null       the value that means "no condition": a number that fills the leaf
    dropout    the fraction of training examples with the null value instead; leaves are dropped together
    between    (low, high): a number that no example has, such as a scale of guidance; in training it is drawn evenly
               between the two, elsewhere it is ``null`` unless given
    spatial    whether it is on the same grid as x, and is flipped and cropped with it
    encoder    a function from the entries (batch, ...) to the leaf. Its arrays are frozen
    text       an encoder of captions (``score_sde.text``): the entry is an array of strings, which it encodes when the
               source is read. The null value is that of the empty caption
    made       a ``Control`` of ``score_sde.control``: an image that is made from the picture itself, such as its edges,
               with the key of the example, which is the same for all leaves
    """

    key: str | None = dataclasses.field(default=None, metadata={"static": True})
    classes: int | None = dataclasses.field(default=None, metadata={"static": True})
    null: int | float | None = dataclasses.field(default=None, metadata={"static": True})
    dropout: int | float = dataclasses.field(default=0.1, metadata={"static": True})
    between: tuple[float, float] | None = dataclasses.field(default=None, metadata={"static": True})
    spatial: bool = dataclasses.field(default=False, metadata={"static": True})
    encoder: Callable[[Any], Array] | None = None
    text: Any = dataclasses.field(default=None, metadata={"static": True})
    made: Any = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self):
        require(0 <= self.dropout <= 1, f"dropout = {self.dropout}; allowed: 0 to 1, the share of examples")
        require(self.classes is None or self.classes >= 1, f"classes = {self.classes}; allowed: 1 or more")
        require(
            self.between is None or (self.between[0] <= self.between[1] and self.null is not None),
            f"between = {self.between} with null = {self.null}; allowed: (low, high), and a null value beside it",
        )
        others = [name for name in ("encoder", "text", "classes", "between") if getattr(self, name) is not None]
        require(
            self.made is None or not others,
            f"made beside {', '.join(others)}: an image that is made from the picture is nothing else; leave one out",
        )
        require(
            self.classes is None or self.null is None or self.null == self.classes,
            f"null = {self.null} beside classes = {self.classes}: the null value of a label is the number of classes; "
            "leave null out",
        )

    @property
    def empty(self) -> Any:
        """The null value; an array for a text."""
        if self.text is not None:
            return _empty_caption(self.text)
        return self.classes if self.classes is not None else self.null

    def entry(self, name: str) -> str:
        """The entry of an example from which the leaf of this name is made."""
        return self.key or ("data" if self.made is not None else name)


pytree.register(Leaf, static_unless_told=False)


@functools.cache
def _empty_caption(text: Any) -> np.ndarray:
    """What an encoder makes of the empty caption."""
    return text.encode([""])[0]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """The leaves of a model's condition by name; none for an unconditional model. A pytree of encoders."""

    leaves: Mapping[str, Leaf] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.leaves)

    @property
    def null(self) -> dict[str, Any]:
        """The null value of each leaf that has one."""
        return {name: leaf.empty for name, leaf in self.leaves.items() if leaf.empty is not None}

    @property
    def encoders(self) -> dict[str, Any]:
        """The encoders of captions, by the entry of an example that they read."""
        return {leaf.entry(name): leaf.text for name, leaf in self.leaves.items() if leaf.text is not None}

    def entries(self, *, spatial: bool = False) -> tuple[str, ...]:
        """The entries of an example used by the leaves; with ``spatial``, only by spatial leaves."""
        own = {name: leaf for name, leaf in self.leaves.items() if leaf.between is None}
        found = [leaf.entry(name) for name, leaf in own.items() if leaf.spatial or not spatial]
        return tuple(entry for entry in dict.fromkeys(found) if not (spatial and entry == "data"))

    def of(self, examples: Mapping[str, Any], keys: Key[Array, "batch"] | None = None) -> Condition:
        """The condition of a batch of examples; None without leaves. ``keys``: of the examples, for leaves that are made."""
        if not self.leaves:
            return None
        return {name: self._encoded(name, examples, keys) for name in self.leaves}

    def made_of(self, examples: Mapping[str, Any], keys: Key[Array, "batch"]) -> dict[str, Array]:
        """The leaves that are made from what the examples have."""
        made = {name: leaf for name, leaf in self.leaves.items() if leaf.made is not None}
        return {
            name: self._encoded(name, examples, keys) for name, leaf in made.items() if leaf.entry(name) in examples
        }

    def dropped(self, condition: Condition, keys: Key[Array, "batch"]) -> Condition:
        """The condition of training examples, with null values in a random fraction of them (Ho & Salimans 2021), and with
        the numbers that are drawn.

        One random number per example is used for all leaves, so leaves with equal dropout are dropped together.
        """
        if condition is None:
            return None
        return {name: self._dropped(name, leaf, keys) for name, leaf in condition.items()}

    def make(self, n: int | None = None, **values: Any) -> Condition:
        """The condition of n samples: numbers are repeated; sequences and arrays have length n.

        Leaves without a value get their null value.
        """
        unknown = [name for name in values if name not in self.leaves]
        known = ", ".join(map(repr, self.leaves)) or "none: it is unconditional"
        require(not unknown, f"condition {', '.join(map(repr, unknown))} is unknown; this model takes {known}")
        if not self.leaves:
            return None
        counts = {name: len(value) for name, value in values.items() if not np.isscalar(value) and np.ndim(value) > 0}
        n = n if n is not None else next(iter(counts.values()), None)
        require(n is not None, "give n, the number of samples: none of the values is a list or an array")
        assert n is not None
        wrong = {name: count for name, count in counts.items() if count != n}
        require(not wrong, f"condition {wrong}: these are not n = {n} values; give one for each sample, or a number")
        return {name: self._made(name, n, values.get(name)) for name in self.leaves}

    def _made(self, name: str, n: int, value: Any) -> Array:
        leaf = self.leaves[name]
        if value is None:
            if leaf.empty is None or (leaf.made is not None and leaf.dropout == 0):
                raise ValueError(f"condition {name!r} has no null value that training has seen: give {name}=...")
            form = np.shape(leaf.empty) if leaf.made is None else leaf.made.form
            return jnp.broadcast_to(jnp.asarray(leaf.empty), (n, *form))
        rows = [value] * n if np.isscalar(value) or np.ndim(value) == 0 else value
        if leaf.made is not None:
            return leaf.made.checked(name, jnp.asarray(np.asarray(rows)))
        if leaf.text is not None:
            wrong = [row for row in rows if not isinstance(row, str)]
            require(not wrong, f'condition {name} holds {wrong[:1]}; it is told in words: give {name}=["..."]')
            return jnp.asarray(leaf.text.encode(rows))
        if leaf.classes is not None:
            labels = np.asarray(rows)
            require(
                np.issubdtype(labels.dtype, np.integer) and bool(np.all((labels >= 0) & (labels <= leaf.classes))),
                f"condition {name} = {value!r}; allowed: 0 to {leaf.classes - 1}, and {leaf.classes} for no class",
            )
        return self._encoded(name, {leaf.entry(name): rows if leaf.encoder else jnp.asarray(np.asarray(rows))})

    def _encoded(self, name: str, examples: Mapping[str, Any], keys: Key[Array, "batch"] | None = None) -> Any:
        leaf = self.leaves[name]
        key = leaf.entry(name)
        if leaf.between is not None and key not in examples:
            return jnp.full(len(next(iter(examples.values()))), float(leaf.null or 0.0))
        require(
            key in examples,
            f"condition {name!r} is made from the entry {key!r} of an example, which the data lack; they have "
            f"{', '.join(map(repr, examples))}",
        )
        if leaf.made is not None:
            if keys is None:
                raise ValueError(f"condition {name!r} is made from pictures with a random key for each; give keys")
            return _each_made(leaf.made, keys, examples[key])
        return examples[key] if leaf.encoder is None else leaf.encoder(examples[key])

    def _dropped(self, name: str, values: Array, keys: Key[Array, "batch"]) -> Array:
        leaf = self.leaves[name]
        if leaf.between is not None:
            low, high = leaf.between
            return for_each(keys, Purpose.NUMBER, lambda key: jax.random.uniform(key, (), minval=low, maxval=high))
        if leaf.dropout == 0:
            return values
        require(leaf.empty is not None, f"condition {name!r} has dropout = {leaf.dropout}, but no null value; set null")
        gone = for_each(keys, Purpose.CONDITION, lambda key: jax.random.bernoulli(key, leaf.dropout))
        return filled(values, leaf.empty, gone, name)


pytree.register(Conditions, static_unless_told=False)


@functools.partial(jax.jit, static_argnums=0)
def _each_made(made: Callable, keys: Key[Array, "batch"], pictures: Array) -> Array:
    """Compiled once, also for callers outside of jit."""
    return jax.vmap(made)(for_each(keys, Purpose.MADE), pictures)


def filled(values: Array, null: Any, where: Any, name: str = "") -> Array:
    """The leaf with its null value at ``where``; a ValueError if the types do not match."""
    values = jnp.asarray(values)
    check_null(values, null, name)
    return jnp.where(_beside(where, values), jnp.asarray(null, values.dtype), values)


def check_null(values: Array, null: ArrayLike, name: str) -> None:
    """Raise a ValueError unless the leaf can hold the null value."""
    whole = jnp.issubdtype(values.dtype, jnp.integer)
    require(
        not whole or jnp.issubdtype(jnp.result_type(null), jnp.integer),
        f"the null value of condition {name!r} is {null!r}, but the leaf holds {values.dtype}; give a whole number",
    )


def _beside(where: Array, values: Array) -> Array:
    """(batch,) flags, reshaped to select among values (batch, ...)."""
    return jnp.reshape(where, jnp.shape(where) + (1,) * (values.ndim - jnp.ndim(where)))
