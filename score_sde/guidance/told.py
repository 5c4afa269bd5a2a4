"""What a model is told instead: null values, or another condition, in place of leaves of the condition.

Both the "not told" of classifier-free guidance and a negative condition are of this kind: a leaf has another value,
which is a number, an array, or what another leaf of the condition holds.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Sample, as_time, require
from score_sde.conditions import Condition, check_null
from score_sde.denoiser import Cost, Denoiser, Wrapper
from score_sde.guidance.scale import Interval, Scale

Values: TypeAlias = Mapping[str, ArrayLike]
"""By leaf: a number, or an array that broadcasts to the leaf (batch, ...), such as a null embedding or a row a sample."""
Names: TypeAlias = tuple[tuple[str, str], ...]
"""(leaf, the leaf of the condition that holds its other value and that the model does not receive)."""


def instead(null: Mapping[str, Any] | None, negative: Mapping[str, Any] | None = None) -> tuple[Values, Names]:
    """``null``, and ``negative`` in its place for the leaves that it names; entries that are a text name a leaf."""
    entries = {**(null or {}), **(negative or {})}
    require(bool(entries), 'null = {} names no leaf; give the value that stands for "not told", such as {"label": 10}')
    names = tuple((leaf, other) for leaf, other in entries.items() if isinstance(other, str))
    return {leaf: value for leaf, value in entries.items() if not isinstance(value, str)}, names


def replaced(condition: Condition, values: Values, names: Names) -> tuple[dict[str, Array], dict[str, Array]]:
    """The condition that the model is told, and the same with its other values."""
    require(isinstance(condition, Mapping), 'a guided model needs a condition, such as condition={"label": labels}')
    there = ", ".join(map(repr, condition))
    missing = [name for name in (*values, *(leaf for leaf, _ in names)) if name not in condition]
    require(
        not missing,
        f"null names the leaves {', '.join(map(repr, missing))}, which the condition lacks; it has {there}",
    )
    for leaf, other in names:
        require(
            other in condition,
            f"guidance away from condition[{other!r}] needs that leaf beside {leaf!r}; the condition has {there}",
        )
    told = {name: leaf for name, leaf in condition.items() if name not in {other for _, other in names}}
    others = {leaf: _like(leaf, told[leaf], condition[other], other) for leaf, other in names}
    filled = {leaf: _filled(leaf, told[leaf], value) for leaf, value in values.items()}
    return told, {name: filled.get(name, others.get(name, leaf)) for name, leaf in told.items()}


def _filled(name: str, leaf: Any, value: ArrayLike) -> Array:
    leaf = jnp.asarray(leaf)
    check_null(leaf, value, name)
    try:
        fits = np.broadcast_shapes(jnp.shape(value), leaf.shape) == leaf.shape
    except ValueError:
        fits = False
    require(
        fits,
        f"the null value of condition {name!r} has shape {jnp.shape(value)} and cannot fill a leaf of shape {leaf.shape}",
    )
    return jnp.full_like(leaf, value)


def _like(name: str, leaf: Any, other: Any, source: str) -> Array:
    leaf, other = jnp.asarray(leaf), jnp.asarray(other)
    require(
        leaf.shape == other.shape and leaf.dtype == other.dtype,
        f"condition {source!r} is {other.dtype}{list(other.shape)}, but stands for {name!r}, which is "
        f"{leaf.dtype}{list(leaf.shape)}",
    )
    return other


@dataclasses.dataclass(frozen=True)
class Contrast(Wrapper):
    """The base of guidance from what a model says otherwise told; both evaluations are one call of twice the batch.

    Leaves that are neither in ``null`` nor in ``names`` are the same in both halves. Subclasses define ``_guided``.
    """

    scale: Scale
    null: Values
    interval: Interval = dataclasses.field(default=None, metadata={"static": True})
    names: Names = dataclasses.field(default=(), metadata={"static": True})

    @property
    def cost(self) -> Cost:
        return self.model.cost + self.model.cost

    def with_dropout(self, keys: Key[Array, "batch"]) -> "Contrast":
        return dataclasses.replace(self, model=self.model.with_dropout(jnp.concatenate([keys, keys])))

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self._guided(self.model.predict, x, t, condition)

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        return self._guided(self.model.on_chain, x, t, condition)

    def _guided(self, evaluate: Callable, x: Sample, t: ArrayLike, condition: Condition) -> tuple:
        """(x̂, ε̂, the further outputs of the model told, if ``evaluate`` has them)."""
        raise TypeError(f"{type(self).__name__} does not define _guided(evaluate, x, t, condition)")

    def _both(self, evaluate: Callable, x: Sample, t: ArrayLike, condition: Condition) -> tuple[Any, Any]:
        """What the model says told, and otherwise told."""
        times = jnp.broadcast_to(as_time(t, self.sde.t_max, x), x.shape[:1])
        halves = replaced(condition, self.null, self.names)
        both = jax.tree.map(lambda *each: jnp.concatenate(each), *halves)
        out, n = evaluate(jnp.concatenate([x, x]), jnp.concatenate([times, times]), both), len(x)
        return jax.tree.map(lambda a: a[:n], out), jax.tree.map(lambda a: a[n:], out)


@dataclasses.dataclass(frozen=True)
class Told(Wrapper):
    """A denoiser that is told other values, made by ``told``."""

    values: Values
    names: Names = dataclasses.field(metadata={"static": True})

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self.model.predict(x, t, replaced(condition, self.values, self.names)[1])

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        return self.model.on_chain(x, t, replaced(condition, self.values, self.names)[1])


def told(denoiser: Denoiser, other: Mapping[str, ArrayLike | str]) -> Told:
    """The denoiser, always told these values of leaves, or those of the named leaves: a term of ``sum_of``."""
    return Told(denoiser.sde, denoiser, *instead(other))
