"""A source whose captions are read as the arrays of their encoders."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from score_sde.data.source import Derived, Examples, Source, Subset, take
from score_sde.text.cache import encoded
from score_sde.text.encoder import TextEncoder


class Captioned(Derived):
    """The source, with the strings of some entries encoded. Each different caption is encoded once; an encoder with a
    ``cache`` does so for all of them at first.
    """

    @staticmethod
    def of(source: Source, encoders: Mapping[str, TextEncoder]) -> Source:
        """The source itself without encoders."""
        return Captioned(source, encoders) if encoders else source

    def __init__(self, source: Source, encoders: Mapping[str, TextEncoder]):
        super().__init__(source)
        self.encoders = dict(encoders)
        self.known: dict[str, dict[str, np.ndarray]] = {}
        for entry, encoder in encoders.items():
            folder = getattr(encoder, "cache", None)
            self.known[entry] = {} if folder is None else encoded(encoder, captions_of(source, entry), folder)

    def take(self, indices: Int[np.ndarray, "n"]) -> Examples:
        """Several examples, with captions as arrays."""
        examples = take(self.source, indices)
        return examples | {entry: self._encoded(entry, examples[entry]) for entry in self.encoders}

    def _encoded(self, entry: str, captions: np.ndarray) -> np.ndarray:
        known = self.known[entry]
        new = sorted({str(caption) for caption in captions} - known.keys())
        if new:
            known.update(zip(new, self.encoders[entry].encode(new), strict=True))
        return np.stack([known[str(caption)] for caption in captions])


def captions_of(source: Source, entry: str) -> list[str]:
    """All captions of a source."""
    if isinstance(source, Subset):
        whole = captions_of(source.source, entry)
        return [whole[i] for i in source.indices]
    others = getattr(source, "others", None)
    if others is not None:
        return [str(caption) for caption in others[entry]]
    blocks = np.array_split(np.arange(len(source)), -(-len(source) // 1000))
    return [str(caption) for block in blocks for caption in take(source, block)[entry]]
