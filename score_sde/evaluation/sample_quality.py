"""Metrics of samples against the data, in the pass over samples."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import jax
import numpy as np
from jaxtyping import Array, Key, UInt8

from score_sde.checks import require
from score_sde.data.contact_sheet import as_bytes, grid
from score_sde.evaluation.comparison import DEFAULT, NEEDS_HELD_OUT, check_metrics, check_sides, compare
from score_sde.evaluation.evaluator import Batch, State, Subject
from score_sde.evaluation.features import Extractor, efficientnet_lite0
from score_sde.evaluation.metrics.distances import nearest
from score_sde.evaluation.references import References
from score_sde.evaluation.statistics import KEEP, FeatureStatistics, Statistics, collected, is_statistics
from score_sde.evaluation.statistics.collect import in_bytes

SHOWN, NEIGHBOURS = 100, 8


@dataclasses.dataclass(frozen=True, eq=False)
class SampleQuality:
    """Any metrics of ``score_sde.evaluation.comparison`` of samples, all from the same features.

    ``reference``: the split to compare with, or a file of statistics. ``held_out``: the split that gives the floor of each
    metric, and the held-out examples of those that need them; None: no floor. ``keep``: the number of examples of each
    side whose features are kept. ``first``: the number of samples; all of config.evaluation.samples unless given.
    """

    references: References
    features: Extractor = dataclasses.field(default_factory=efficientnet_lite0)
    metrics: Sequence[str] = DEFAULT
    reference: str = "train"
    held_out: str | None = "test"
    keep: int = KEEP
    first: int | None = None
    of: ClassVar[Literal["examples", "samples"]] = "samples"

    def __post_init__(self):
        check_metrics(self.metrics)
        wanting = [name for name in self.metrics if name in NEEDS_HELD_OUT and self.held_out is None]
        require(not wanting, f"held_out = None, but {', '.join(wanting)} compare with held-out images; give a split")

    def __repr__(self) -> str:
        about = {**self.features.about, "reference": self.reference, "held_out": self.held_out, "keep": self.keep}
        return f"SampleQuality({about}, metrics={tuple(self.metrics)})"

    @property
    def collects(self) -> str:
        """The features of the samples alone: metrics and references can be chosen after the samples are drawn."""
        return repr(self._collect)

    def settings(self) -> dict[str, Any]:
        """The hashes of what the samples are compared with."""
        names = ("reference", "held_out")
        return {name: side.about.get("data_hash") for name, side in zip(names, self._sides, strict=True) if side}

    @functools.cached_property
    def _collect(self) -> FeatureStatistics:
        return FeatureStatistics(self.features, self.keep, SHOWN, "samples", self.first)

    def begin(self, n: int) -> State:
        check_sides(self.metrics, self.features.about, *self._sides)  # all hosts take part, before any sample is drawn
        return self._collect.begin(n)

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Array]:
        return self._collect.measure(subject, batch, key)

    def add(self, state: State, rows: slice, values: Any) -> State:
        return self._collect.add(state, rows, values)

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        reference, held_out = self._sides
        sample = collected(self._collect, state, "the samples")
        values = compare(sample, reference, self.metrics, held_out=held_out)
        found = {"metrics": values, "examples": sample.n, "failures": int(state["failures"])}
        return {**found, "about": self._about(reference, held_out)}

    def pictures(self, subject: Subject, state: State) -> dict[str, UInt8[np.ndarray, "height width 3"]]:
        """The first samples; and some of them, each above the nearest of the reference's kept examples."""
        levels = subject.scaling.levels
        found = {"samples": grid(as_bytes(state["images"], levels), columns=10)}
        reference, _ = self._sides
        if reference.kept is not None and reference.index is not None and not is_statistics(self.reference):
            samples = state["images"][:NEIGHBOURS]
            features = np.asarray(self.features(in_bytes(jax.numpy.asarray(samples), levels)))
            index = nearest(features, reference.features)[0]
            beside = self.references.images(self.reference, reference.index[index])
            found["nearest"] = grid(as_bytes(np.concatenate([samples, beside]), levels), columns=len(samples))
        return found

    @functools.cached_property
    def _sides(self) -> tuple[Statistics, Statistics | None]:
        splits = (self.reference, self.held_out)
        return tuple(
            None if split is None else self.references.statistics(split, self.features, self.keep) for split in splits
        )  # type: ignore[return-value]

    def _about(self, *sides: Statistics | None) -> dict[str, Any]:
        names = ("reference", "held_out")
        return self.features.about | {
            name: dict(side.about) for name, side in zip(names, sides, strict=True) if side is not None
        }
