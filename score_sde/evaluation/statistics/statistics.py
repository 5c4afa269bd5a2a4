"""What is known of a set of images after one pass: enough for every metric."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from score_sde.checks import require
from score_sde.evaluation.metrics.moments import Moments

KEEP = 10_000
"""The number of examples whose features are kept, unless another is given."""
COMPARED = ("features", "weights", "size", "resize", "quantise", "normalisation")
"""The settings that two statistics must share. A file of another program states none of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """The moments of the features of n examples, and the features of a random subset.

    ``kept`` (k, d) belong to the examples ``index`` (k,), whose labels are ``label`` (k,) where the data have labels.
    ``about``: the name of the features, the hash of their weights, resize, quantisation; the data, n, and their hash.
    """

    moments: Moments
    kept: Float[np.ndarray, "_k _d"] | None = None
    index: Int[np.ndarray, "_k"] | None = None
    label: Int[np.ndarray, "_k"] | None = None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, features: Float[np.ndarray, "_n _d"], about: Mapping[str, Any] | None = None) -> "Statistics":
        """The statistics of features in memory, all of which are kept."""
        features = np.asarray(features)
        return cls(Moments.of(features), features, np.arange(len(features)), None, dict(about or {}))

    @property
    def n(self) -> int:
        """The number of examples in the moments."""
        return self.moments.n

    @property
    def name(self) -> str:
        """What the statistics are of, for messages."""
        return str(self.about.get("data", "the statistics"))

    @property
    def features(self) -> Float[np.ndarray, "_k _d"]:
        """The kept features; a ValueError if there are only moments."""
        if self.kept is None:
            raise ValueError(
                f"{self.name} holds a mean and a covariance, but no features, which this metric needs; make the "
                "statistics from the images with: score_sde statistics SOURCE --out=FILE"
            )
        return self.kept

    @property
    def all_kept(self) -> bool:
        """Whether the features of all examples are kept."""
        return self.kept is not None and len(self.kept) == self.n

    def part(self, n: int) -> "Statistics":
        """The statistics of n random kept examples, the same at each call."""
        features = self.features
        require(n <= len(features), f"{self.name} keeps the features of {len(features)} examples; {n} are needed")
        chosen = np.random.default_rng(0).permutation(len(features))[:n]
        index = None if self.index is None else self.index[chosen]
        label = None if self.label is None else self.label[chosen]
        return Statistics(Moments.of(features[chosen]), features[chosen], index, label, self.about)


def check_features(one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str]) -> None:
    """Raise a ValueError that names each setting in which the features of two statistics differ."""
    differ = [
        f"{name} = {one[name]!r} and {other[name]!r}"
        for name in COMPARED
        if name in one and name in other and one[name] != other[name]
    ]
    require(
        not differ,
        f"{' and '.join(names)} cannot be compared: they have {'; '.join(differ)}. Make both with the same features",
    )


def check_comparable(one: Statistics, other: Statistics) -> None:
    """Raise a ValueError unless both have the same features of the same dimension."""
    check_features(one.about, other.about, (one.name, other.name))
    sizes = len(one.moments.mean), len(other.moments.mean)
    require(
        sizes[0] == sizes[1],
        f"{one.name} and {other.name} cannot be compared: their features have {sizes[0]} and {sizes[1]} dimensions",
    )
