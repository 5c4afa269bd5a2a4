"""Batches as a sequence: ``batches[step]`` depends only on the seed and the step.

Every process, on one host or many and after any restart, gets the same examples of a step in the same order with the
same flips. So the step is the only state, and there is no shuffle buffer.

The examples form an infinite sequence: position p is example ``order(seed, p // n)[p % n]`` of n, and a batch is the
next ``batch_size`` positions. Every epoch covers every example exactly once, even if a batch spans two epochs.
"""

import dataclasses
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt64

from score_sde.checks import require
from score_sde.data.source import RESERVED, Examples, entries_of
from score_sde.data.source import take as taken


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """Batches of a source, or one host's share of them: host h has the h-th of ``hosts`` equal slices of a batch.

    Each batch is a dictionary of arrays with the batch as first axis:

    - ``data`` (batch, *shape) in the form of the source, and its other entries, such as ``label`` (batch,);
    - ``index`` (batch,): the index of the example in the source;
    - ``position`` (batch,): the row in the global batch; ``fold_in(fold_in(key, step), position)`` is a key of the
      example that does not depend on where it is computed;
    - ``valid`` (batch,) if ``pad``: False for padding in the last batch.

    ``entries``: the entries that the experiment needs besides ``data``, () for none; None takes all of them.
    ``spatial``: entries on the same grid as x, arrays (batch, H, W) or (batch, H, W, C): a flip mirrors them too.
    ``epochs``: None for endless batches; else the last batch is shorter, or padded with example 0 if ``pad``.
    """

    source: Any  # a score_sde.data.Source, or an object with its interface
    batch_size: int  # over all hosts
    seed: int = 0
    shuffle: bool = True
    flip: bool = False
    entries: Sequence[str] | None = None
    spatial: Sequence[str] = ()
    epochs: int | None = None
    pad: bool = False
    host: int = 0
    hosts: int = 1

    def __post_init__(self):
        name, n, size = self.source.name, len(self.source), self.batch_size
        require(n > 0, f"{name} has no examples")
        require(
            size > 0 and size % self.hosts == 0, f"batch_size = {size}; it must be a multiple of {self.hosts} hosts"
        )
        require(0 <= self.host < self.hosts, f"host = {self.host}; there are {self.hosts}, counted from 0")
        require(0 <= self.seed < 2**64, f"seed = {self.seed}; allowed: 0 to 2**64 - 1")
        require(self.epochs is None or self.epochs > 0, f"epochs = {self.epochs}; allowed: 1 or more, None for ever")
        if self.epochs is None:
            require(size <= n, f"batch_size = {size}, but {name} has only {n} examples; allowed: up to {n}")
        require(
            self.epochs is None or self.pad or self.hosts == 1,
            f"epochs = {self.epochs} on {self.hosts} hosts needs pad = True: their last batches would differ",
        )
        self._check_entries()
        require(
            not self.flip or len(self.source.shape) == 3,
            f"flip = True needs images (H, W, C), but {name} has shape {self.source.shape}; set flip = False",
        )

    def _check_entries(self) -> None:
        name, known = self.source.name, entries_of(self.source)
        there = ", ".join(map(repr, ("data", *known)))
        for field in ("entries", "spatial"):
            value = getattr(self, field)
            require(not isinstance(value, str), f"{field} = {value!r}; give a list of names, [{value!r}]")
        reserved = [entry for entry in known if entry in RESERVED]
        require(not reserved, f"{name} has the entry {reserved}, a name that a batch needs itself; rename it")
        missing = [entry for entry in self.entries or () if entry not in ("data", *known)]
        require(
            not missing,
            f"the experiment needs the entry {', '.join(map(repr, missing))} of an example, but {name} has only {there}; "
            "choose another source, give it what is missing (and name it in the source's `entries`), or leave out the "
            "condition that is made from it",
        )
        taken = known if self.entries is None else self.entries
        lost = [entry for entry in self.spatial if entry not in known or entry not in taken]
        require(
            not lost,
            f"spatial = {list(self.spatial)}, but {', '.join(map(repr, lost))} is not among the entries of the batch; "
            f"{name} has {there}",
        )

    def __len__(self) -> int:
        if self.epochs is None:
            return sys.maxsize // self.batch_size
        return -(-self.epochs * len(self.source) // self.batch_size)

    def __getitem__(self, step: int) -> Examples:
        if not 0 <= step < len(self):
            raise IndexError(f"batch {step} does not exist; there are {len(self)}")
        share = self.batch_size // self.hosts
        position = np.arange(self.host * share, (self.host + 1) * share)
        place = step * self.batch_size + position
        valid = place < (self.epochs or sys.maxsize) * len(self.source)
        if not self.pad:
            position, place, valid = position[valid], place[valid], valid[valid]
        epoch, place = np.divmod(place, len(self.source))
        index = np.where(valid, self._index(epoch, place), 0)

        batch = self._examples(index)
        if self.flip:
            mirror = random_bits(self.seed, FLIP, epoch, index) % 2 == 1
            for entry in dict.fromkeys(("data", *self.spatial)):
                batch[entry] = flipped(batch[entry], mirror)
        batch["index"], batch["position"] = index.astype(np.int32), position.astype(np.int32)
        if self.pad:
            batch["valid"] = valid
        return batch

    def _examples(self, index: Int[np.ndarray, "n"]) -> Examples:
        """These examples, with the required entries."""
        found = take(self.source, index)
        if self.entries is None:
            batch = dict(found)
        else:
            wanted = dict.fromkeys(("data", *self.entries))
            lost = [entry for entry in wanted if entry not in found]
            require(not lost, f"{self.source.name} names the entry {lost}, but its examples have only {list(found)}")
            batch = {entry: found[entry] for entry in wanted}
        grid = batch["data"].shape[:-1]
        for entry in self.spatial:
            shape = batch[entry].shape
            require(
                shape[: len(grid)] == grid and len(shape) <= len(grid) + 1,
                f"the entry {entry!r} is spatial, but {self.source.name} has it with shape {shape[1:]} beside data "
                f"{batch['data'].shape[1:]}; allowed: {grid[1:]} or {(*grid[1:], 'C')}",
            )
        return batch

    def _index(self, epoch: Int[np.ndarray, "n"], place: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """The index of the example at this place in this epoch."""
        if not self.shuffle:
            return place
        index = np.empty_like(place)
        for e in np.unique(epoch):
            index[epoch == e] = order(self.seed, int(e), len(self.source))[place[epoch == e]]
        return index


def take(source: Any, index: Int[np.ndarray, "n"]) -> Examples:
    """Several examples, stacked, without strings, which no device takes."""
    return {name: value for name, value in taken(source, index).items() if value.dtype.kind != "U"}


def flipped(data: np.ndarray, mirror: Bool[np.ndarray, "n"]) -> np.ndarray:
    """Images (n, H, W, C), or maps (n, H, W), mirrored from left to right where ``mirror`` is True."""
    data = data.copy()
    data[mirror] = data[mirror, :, ::-1]
    return data


# Randomness by hashing, not by a generator: the value for (seed, purpose, epoch, index) depends neither on other values
# nor on the version of a library, which may change during a run.

ORDER, FLIP = 0, 1


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, n: int) -> Int[np.ndarray, "{n}"]:
    """The order of n examples in this epoch: they are sorted by 64 random bits."""
    return np.argsort(random_bits(seed, ORDER, np.uint64(epoch), np.arange(n)), kind="stable")


def random_bits(seed: int, purpose: int, epoch: Any, index: Int[np.ndarray, "n"]) -> UInt64[np.ndarray, "n"]:
    """64 bits per example; each word is mixed in by the finaliser of SplitMix64 (Steele et al. 2014)."""
    bits = np.zeros(len(index), np.uint64)
    for word in (seed, purpose, epoch, index):
        bits = bits + np.asarray(word).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> np.uint64(31))
    return bits
