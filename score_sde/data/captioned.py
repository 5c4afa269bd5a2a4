"""A source whose captions are read as the arrays of their encoders."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from score_sde.data.source import Examples, Source, entries_of
from score_sde.text.cache import encoded
from score_sde.text.encoder import TextEncoder


class Captioned(Source):
    """The source, with the strings of some entries encoded. Each different caption is encoded once; an encoder with a
    ``cache`` does so for all of them at first.
    """

    @staticmethod
    def of(source: Source, encoders: Mapping[str, TextEncoder]) -> Source:
        """The source itself without encoders."""
        return Captioned(source, encoders) if encoders else source

    def __init__(self, source: Source, encoders: Mapping[str, TextEncoder]):
        self.source, self.encoders = source, dict(encoders)
        self.name, self.shape, self.levels = source.name, source.shape, source.levels
        self.num_classes, self.flippable = source.num_classes, source.flippable
        self.known: dict[str, dict[str, np.ndarray]] = {}
        for entry, encoder in encoders.items():
            folder = getattr(encoder, "cache", None)
            self.known[entry] = {} if folder is None else encoded(encoder, captions_of(source, entry), folder)

    @property
    def entries(self) -> tuple[str, ...]:
        """Those of the source."""
        return entries_of(self.source)

    def __len__(self) -> int:
        return len(self.source)

    def take(self, indices: Int[np.ndarray, "n"]) -> Examples:
        """Several examples, with captions as arrays."""
        examples = self.source.take(indices)
        return examples | {entry: self._encoded(entry, examples[entry]) for entry in self.encoders}

    def _encoded(self, entry: str, captions: np.ndarray) -> np.ndarray:
        known = self.known[entry]
        new = sorted({str(caption) for caption in captions} - known.keys())
        if new:
            known.update(zip(new, self.encoders[entry].encode(new), strict=True))
        return np.stack([known[str(caption)] for caption in captions])


def captions_of(source: Source, entry: str) -> list[str]:
    """All captions of a source."""
    others = getattr(source, "others", None)
    if others is not None:
        return [str(caption) for caption in others[entry]]
    blocks = np.array_split(np.arange(len(source)), -(-len(source) // 1000))
    return [str(caption) for block in blocks for caption in source.take(block)[entry]]
