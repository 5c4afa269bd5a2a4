"""Data: sources of examples, batches as a function of (seed, step), and the scaling to model space.

TensorFlow Datasets, Pillow and the pipeline, which needs Grain, are imported on first use, so importing this package
is fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

from score_sde.data.batches import Batches
from score_sde.data.scaling import DataScaling
from score_sde.data.source import ArraySource, Source, Subset, entries_of, in_memory
from score_sde.data.sources import SOURCES, open_source

if TYPE_CHECKING:
    from score_sde.data.pipeline import evaluation_batches, stream, training_batches

__all__ = [
    "SOURCES",
    "ArraySource",
    "Batches",
    "DataScaling",
    "Source",
    "Subset",
    "entries_of",
    "evaluation_batches",
    "in_memory",
    "open_source",
    "stream",
    "training_batches",
]


def __getattr__(name: str) -> Any:
    if name in ("evaluation_batches", "stream", "training_batches"):
        return getattr(importlib.import_module("score_sde.data.pipeline"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
