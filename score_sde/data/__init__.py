"""Data: sources of examples, batches of them as a function of (seed, step), and the scaling to model space.

Grain, TensorFlow Datasets and Pillow are imported where they are used, so that this package is light.
"""

from score_sde.data.batches import Batches
from score_sde.data.pipeline import evaluation_batches, stream, training_batches
from score_sde.data.scaling import DataScaling
from score_sde.data.source import ArraySource, Source, Subset, in_memory
from score_sde.data.sources import SOURCES, open_source

__all__ = [
    "SOURCES",
    "ArraySource",
    "Batches",
    "DataScaling",
    "Source",
    "Subset",
    "evaluation_batches",
    "in_memory",
    "open_source",
    "stream",
    "training_batches",
]
