"""Collecting statistics in one resumable pass over examples or samples."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from score_sde import devices
from score_sde.checks import require
from score_sde.evaluation.evaluator import Batch, State, Subject
from score_sde.evaluation.features.extractor import Extractor
from score_sde.evaluation.metrics.moments import Moments
from score_sde.evaluation.statistics.statistics import KEEP, Statistics

SEED = 0x5EED
"""The seed of the random subset, the same everywhere: equal data have equal subsets."""
ROUND = 2**64
ENOUGH = 1000
"""The number of images that show their range: not all of them are black."""


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """An evaluator that collects statistics. The state grows with ``keep``, not with the number of examples.

    ``shown``: the number of images to keep for pictures, the first ones.
    """

    features: Extractor
    keep: int = KEEP
    shown: int = 0
    of: Literal["examples", "samples"] = "examples"
    first: int | None = None

    def __post_init__(self):
        require(self.keep >= 2, f"keep = {self.keep}; allowed: 2 or more examples")

    @functools.cached_property
    def _placed(self) -> Extractor:
        """The features with their weights on all devices."""
        return devices.put(self.features, devices.whole(devices.mesh()))

    def __repr__(self) -> str:
        return f"FeatureStatistics({self.features.about}, keep={self.keep}, shown={self.shown})"

    def begin(self, n: int) -> State:
        chosen = np.random.default_rng([SEED, n]).permutation(n)[: min(self.keep, n)]
        none = {"n": np.array(0), "failures": np.array(0), "low": np.array(np.inf), "high": np.array(-np.inf)}
        return {**none, "hash": np.zeros((), np.uint64), "index": chosen}

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Array]:
        images = in_bytes(batch["data"], subject.scaling.levels)
        values = {name: batch[name] for name in ("label", "failed_at") if name in batch}
        if self.of == "samples":  # a model's values may lie slightly outside; those of data may not
            images = jnp.clip(images, 0, 255)
        values |= {"features": self._placed(images), "images": batch["data"]}
        if self.of == "examples" and subject.scaling.levels is None:
            values |= {"low": images.min(axis=(1, 2, 3)), "high": images.max(axis=(1, 2, 3))}
        return values

    def add(self, state: State, rows: slice, values: Mapping[str, np.ndarray]) -> State:
        features, images = values["features"], values["images"]
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        require(
            not len(bad),
            f"the features {self.features.name!r} of {len(bad)} images are not finite, first of image "
            f"{rows.start + (bad[0] if len(bad) else 0)}; do the images hold NaN?",
        )
        own = Moments.of(features)
        if state["n"] == 0:
            width = features.shape[1]
            state["kept"] = np.zeros((len(state["index"]), width), np.float32)
            state["label"] = np.full(len(state["index"]), -1, np.int32)
            state["images"] = np.zeros((0, *images.shape[1:]), images.dtype)
        else:
            own = Moments(int(state["n"]), state["mean"], state["scatter"]).merged(own)
        state |= {"n": np.array(own.n), "mean": own.mean, "scatter": own.scatter}
        state["failures"] = state["failures"] + (values.get("failed_at", np.array(-1)) >= 0).sum()
        if "low" in values:
            state["low"] = np.minimum(state["low"], values["low"].min())
            state["high"] = np.maximum(state["high"], values["high"].max())
            if own.n >= ENOUGH:
                check_range(state)
        state["hash"] = np.array((int(state["hash"]) + _hash(images)) % ROUND, np.uint64)
        here = np.flatnonzero((state["index"] >= rows.start) & (state["index"] < rows.stop))
        state["kept"][here] = features[state["index"][here] - rows.start]
        if "label" in values:
            state["label"][here] = values["label"][state["index"][here] - rows.start]
        if len(state["images"]) < self.shown:
            state["images"] = np.concatenate([state["images"], images])[: self.shown]
        return state

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        return {"examples": int(state["n"]), "data_hash": _written(state), **self.features.about}


def check_range(state: State) -> None:
    """Raise a ValueError unless continuous data have the range of bytes. Levels always do; samples are clipped to it."""
    low, high = float(state["low"]), float(state["high"])
    require(
        low > high or (low >= 0 and 1.5 < high <= 255),
        f"images with values from {low:.3g} to {high:.3g}; give bytes, or floats from 0 to 255",
    )


def collected(evaluator: FeatureStatistics, state: State, data: str) -> Statistics:
    """The statistics at the end of a pass over ``data``."""
    check_range(state)
    labels = state["label"] if (state["label"] >= 0).all() else None
    about = {"data": data, "n": int(state["n"]), "data_hash": _written(state), **evaluator.features.about}
    moments = Moments(int(state["n"]), state["mean"], state["scatter"])
    return Statistics(moments, state["kept"], state["index"], labels, about)


def in_bytes(images: Array, levels: int | None) -> Array:
    """Images with values from 0 to 255; continuous data are taken to have them already."""
    return images if levels in (None, 256) else jnp.asarray(images, jnp.float32) * (255 / (levels - 1))


def _hash(images: np.ndarray) -> int:
    """The sum of the hashes of all images, which does not depend on their order or on batches."""
    rows = np.ascontiguousarray(images)
    return sum(int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "little") for row in rows)


def _written(state: State) -> str:
    return f"{int(state['hash']):016x}"
