"""A source: random access to examples, and their properties.

An example is a dictionary: ``"data"``, an array of the source's ``shape`` (uint8 levels, or float32 if continuous);
``"label"``, an integer from 0 to ``num_classes`` − 1, if the source has labels; and any further entries named in
``entries``, such as a mask, or a caption, a string until an encoder has read it (``captioned``). Any object with these
attributes, ``__len__`` and ``__getitem__`` is a source; inheriting
from ``Source`` adds ``take``, which a source may override to read many examples faster than one by one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, Integer, Num

from score_sde.checks import require

Example = dict[str, Any]  # "data": an array of the source's shape; "label": an integer, if there are labels; others
Examples = dict[str, np.ndarray]  # the same, stacked

RESERVED = ("index", "position", "valid")
"""The entries that a batch adds; no entry of a source may have these names."""


class Source:
    """Random access to examples; subclasses define ``__len__`` and one of ``__getitem__`` and ``take``."""

    name: str
    shape: tuple[int, ...]  # (H, W, C) of images, (D,) of points
    levels: int | None  # 256 for bytes; None: continuous
    num_classes: int | None = None  # None: no labels
    flippable: bool = False  # whether a mirrored example is also a valid example

    @property
    def entries(self) -> tuple[str, ...]:
        """The entries of an example besides "data"; no example is read."""
        return () if self.num_classes is None else ("label",)

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: example {index} does not exist; there are {len(self)}")
        return {key: value[0] for key, value in self.take(np.array([index])).items()}

    def take(self, indices: Int[np.ndarray, "n"]) -> Examples:
        """Several examples, stacked."""
        return stack([self[int(index)] for index in indices])


def entries_of(source: Any) -> tuple[str, ...]:
    """The entries of an example besides "data", also for a source that does not inherit from ``Source``."""
    named = getattr(source, "entries", None)
    if named is None:
        return () if source.num_classes is None else ("label",)
    return tuple(name for name in named if name != "data")


def stack(examples: list[Example]) -> Examples:
    """Stack examples along a new first axis; labels become int32."""
    columns = {key: _column(key, [example[key] for example in examples]) for key in examples[0]}
    return {key: column.astype(np.int32) if key == "label" else column for key, column in columns.items()}


def _column(key: str, values: list[Any]) -> np.ndarray:
    shapes = {np.shape(value) for value in values}
    require(
        len(shapes) == 1, f"the entry {key!r} has other shapes in other examples: {', '.join(map(str, sorted(shapes)))}"
    )
    return np.stack(values)


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource(Source):
    """Examples in an array, in memory or memory-mapped from a file: data (n, *shape), labels (n,) or None.

    uint8 data are levels, by default 256; grey images (n, H, W) get a channel axis. Floats are continuous.
    ``others``: further entries of an example by name, arrays of numbers (n, ...), or of strings; they are not rescaled.
    """

    name: str
    data: Num[np.ndarray, "n *shape"]
    labels: Integer[np.ndarray, "labels"] | None = None
    levels: int | None = None
    num_classes: int | None = None
    flippable: bool = False
    others: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        data, labels, classes = self.data, self.labels, self.num_classes
        require(len(data) > 0, f"{self.name} is empty: its array has shape {data.shape}")
        if data.dtype == np.uint8:
            levels = self.levels or 256
            in_memory = not isinstance(data, np.memmap)
            highest = int(data.max()) if levels < 256 and in_memory else 0
            require(
                highest < levels, f"{self.name} holds the level {highest}; levels = {levels} allow 0 to {levels - 1}"
            )
            if data.ndim == 3:
                data = data[..., None]
        else:
            require(
                np.issubdtype(data.dtype, np.floating),
                f"{self.name} holds {data.dtype}; allowed: uint8 for images, floats for continuous data",
            )
            require(self.levels is None, f"{self.name}: levels = {self.levels}, but {data.dtype} data are continuous")
            levels = None
            if not isinstance(data, np.memmap):  # a mapped file may be too large to read through
                data = data.astype(np.float32, copy=False)
                bad = int((~np.isfinite(data)).sum())
                require(bad == 0, f"{self.name} holds {bad} numbers that are NaN or infinite; remove their examples")
        if labels is not None:
            labels = labels.astype(np.int32)
            require(len(labels) == len(data), f"{self.name} has {len(data)} examples, but {len(labels)} labels")
            lowest, highest = int(labels.min()), int(labels.max())
            classes = highest + 1 if classes is None else classes
            require(
                lowest >= 0 and highest < classes,
                f"{self.name} has labels from {lowest} to {highest}; {classes} classes allow 0 to {classes - 1}",
            )
        others = {name: _entry(self.name, name, array, len(data)) for name, array in self.others.items()}
        facts = {"data": data, "labels": labels, "levels": levels, "num_classes": classes, "others": others}
        for field, value in facts.items():
            object.__setattr__(self, field, value)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """An example's shape."""
        return self.data.shape[1:]

    @property
    def entries(self) -> tuple[str, ...]:
        """The entries of an example besides "data"."""
        return (*super().entries, *self.others)

    def __len__(self) -> int:
        return len(self.data)

    def take(self, indices: Int[np.ndarray, "n"]) -> Examples:
        """Several examples in one gather."""
        data = np.asarray(self.data[indices])
        examples = {"data": data if self.levels is not None else data.astype(np.float32, copy=False)}
        if self.labels is not None:
            examples["label"] = self.labels[indices]
        return examples | {name: array[indices] for name, array in self.others.items()}


def _entry(source: str, name: str, array: np.ndarray, n: int) -> np.ndarray:
    """The array of an entry, converted to at most 32 bits, as in JAX."""
    require(
        name not in ("data", "label", *RESERVED),
        f"{source}: an entry cannot be named {name!r}, which a batch has already; rename it",
    )
    require(
        array.ndim > 0 and len(array) == n,
        f"{source} has {n} examples, but {name!r} has shape {array.shape}; allowed: ({n}, ...)",
    )
    require(
        array.dtype.kind in "biufU",
        f"{source}: {name!r} holds {array.dtype}; allowed: bools, integers, floats, and strings for captions",
    )
    if array.dtype.itemsize < 8 or array.dtype.kind == "U":
        return array
    narrow = array.astype({"f": np.float32, "i": np.int32, "u": np.uint32}[array.dtype.kind])
    require(
        array.dtype.kind == "f" or np.array_equal(narrow, array),
        f"{source}: {name!r} holds integers from {array.min()} to {array.max()}; allowed: those of 32 bits",
    )
    return narrow


def take(source: Any, indices: Int[np.ndarray, "n"]) -> Examples:
    """Several examples, stacked, also from a source without ``take``."""
    return source.take(indices) if hasattr(source, "take") else stack([source[int(i)] for i in indices])


def mixed(n: int, length: int) -> Int[np.ndarray, "n"]:
    """The first n of ``length`` indices in a random order that is always the same, since neighbours in the data are often
    alike; from the beginning again where n is larger.
    """
    return np.random.default_rng(0).permutation(length)[np.arange(n) % length]


class Derived(Source):
    """A source that reads another, with its properties."""

    def __init__(self, source: Any):
        self.source = source
        self.name, self.shape, self.levels = source.name, source.shape, source.levels
        self.num_classes, self.flippable = source.num_classes, source.flippable

    @property
    def entries(self) -> tuple[str, ...]:
        """The entries of the source."""
        return entries_of(self.source)

    def __len__(self) -> int:
        return len(self.source)


class Subset(Derived):
    """Some examples of a source, in a given order."""

    def __init__(self, source: Source, indices: Int[np.ndarray, "n"]):
        require(len(indices) > 0, f"{source.name}: no example is left of {len(source)}")
        super().__init__(source)
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, indices: Int[np.ndarray, "n"]) -> Examples:
        """Several examples."""
        return take(self.source, self.indices[indices])


def in_memory(source: Source) -> ArraySource:
    """Read and decode all examples into memory, for data sets of small images that are slow to decode."""
    columns = source.take(np.arange(len(source)))
    data, labels = columns.pop("data"), columns.pop("label", None)
    return ArraySource(source.name, data, labels, source.levels, source.num_classes, source.flippable, columns)


def check_split(name: str, split: str, allowed: tuple[str, ...], hint: str = "") -> None:
    """Raise a ValueError unless the split exists."""
    names = ", ".join(repr(known) for known in allowed)
    require(split in allowed, f"{name} has no split {split!r}; allowed: {names}" + (f". {hint}" if hint else ""))


def hold_out(source: Source, split: str, test_fraction: float) -> Source:
    """Split a source without splits of its own: the last of every 1/``test_fraction`` examples is "test".

    "test" has at least one example, unless ``test_fraction = 0``: then all are "train".
    """
    require(0 <= test_fraction <= 0.5, f"test_fraction = {test_fraction}; allowed: 0 (no test split) to 0.5")
    if test_fraction == 0:
        hint = "Set test_fraction = 0.1, for example, to hold every tenth example out as 'test'"
        check_split(source.name, split, ("train",), hint)
        return source
    check_split(source.name, split, ("train", "test"))
    index = np.arange(len(source))
    test = np.floor((index + 1) * test_fraction) > np.floor(index * test_fraction)
    require(
        len(source) > 1,
        f"{source.name} has a single example, and test_fraction = {test_fraction} holds one out; set test_fraction = 0",
    )
    test[-1] |= not test.any()
    return Subset(source, index[test if split == "test" else ~test])
