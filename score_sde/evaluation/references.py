"""The real data that samples are compared with: their statistics, made once and kept in files."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from score_sde import devices
from score_sde.data.batches import take
from score_sde.data.scaling import DataScaling
from score_sde.data.source import Source
from score_sde.evaluation.evaluator import Subject
from score_sde.evaluation.features.extractor import Extractor
from score_sde.evaluation.one_pass import final_state
from score_sde.evaluation.statistics import (
    KEEP,
    FeatureStatistics,
    Statistics,
    collected,
    is_statistics,
    read,
    write,
)
from score_sde.evaluation.stream import examples

PROBES = 1000
"""The number of examples that tell whether stored statistics are those of a source."""


def statistics_of(
    source: Source,
    features: Extractor,
    file: str | Path | None = None,
    *,
    keep: int = KEEP,
    batch_size: int = 256,
    progress: bool = True,
) -> Statistics:
    """The statistics of all examples of a source, over all devices and hosts; written to ``file`` (.npz) if given.

    An interrupted pass resumes from FILE_progress.npz.
    """
    file = None if file is None else Path(file)
    evaluator = FeatureStatistics(features, keep)
    subject = Subject(None, DataScaling(levels=source.levels))
    stream = examples(source, batch_size)
    unfinished = None if file is None else file.with_name(f"{file.stem}_progress.npz")
    state = final_state(subject, evaluator, stream, jax.random.key(0), unfinished, progress=progress)
    found = collected(evaluator, state, source.name)
    if file is not None and unfinished is not None and jax.process_index() == 0:
        write(file, found)
        unfinished.unlink(missing_ok=True)
    devices.wait_for_all("statistics are written")
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class References:
    """Statistics of the splits of a data set, in ``folder``, and their images.

    ``source(split)`` opens a split. A split may also be a path: a file of statistics, or FILE:ENTRY.
    """

    source: Callable[[str], Source]
    folder: Path | None = None
    batch_size: int = 256
    _known: dict[Any, Statistics] = dataclasses.field(default_factory=dict)

    def statistics(self, split: str, features: Extractor, keep: int = KEEP) -> Statistics:
        """The statistics of a split, from memory, from the folder, or from a pass over it. All hosts must call this."""
        if is_statistics(split):
            return read(split)
        source = self.source(split)
        about = {**features.about, "keep": keep, "split": split, "source": source.name}
        about |= {"examples": len(source), "shape": list(source.shape), "probes": _probed(source)}
        name = hashlib.blake2b(json.dumps(about).encode(), digest_size=4).hexdigest()
        if name not in self._known:
            file = None if self.folder is None else self.folder / f"{split}_{name}.npz"
            there = devices.agreed(int(file is not None and file.exists()))
            self._known[name] = (
                read(file)
                if there and file is not None
                else statistics_of(source, features, file, keep=keep, batch_size=self.batch_size)
            )
        return self._known[name]

    def images(self, split: str, index: np.ndarray) -> np.ndarray:
        """Examples of a split."""
        return self.source(split).take(index)["data"]


def _probed(source: Source) -> str:
    """A hash of up to a thousand examples, evenly spaced: other images of equal number and size get other statistics."""
    index = np.unique(np.linspace(0, len(source) - 1, PROBES).astype(int))
    return hashlib.blake2b(np.ascontiguousarray(take(source, index)["data"]).tobytes(), digest_size=8).hexdigest()
