"""Captions as the words of a vocabulary, whose vectors the network learns; nothing is downloaded."""

import dataclasses
import re
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from score_sde.checks import require, some_of
from score_sde.text.encoder import say_cut

NOTHING, START, UNKNOWN = 0, 1, 2
"""What is no word: where a caption has ended; the beginning of each; a word that is not in the vocabulary."""
FIRST = 3


@dataclasses.dataclass(frozen=True)
class Words:
    """Integers (n, length): START, then the words in order. ``words``: the vocabulary, by default that of the training data.

    Words are runs of letters and digits in lower case; other signs are left out. The empty caption is START alone.
    """

    length: int = 16
    words: tuple[str, ...] = ()

    def __post_init__(self):
        require(self.length >= 2, f"length = {self.length}; allowed: 2 or more, the start and a word")
        require(len(set(self.words)) == len(self.words), f"words = {self.words}: some are there twice")

    @property
    def vocabulary(self) -> int:
        """The number of integers in use."""
        return FIRST + len(self.words)

    @property
    def features(self) -> None:
        """None: the array holds words."""
        return

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """The integers of each caption."""
        known = {word: FIRST + i for i, word in enumerate(self.words)}
        found = np.full((len(captions), self.length), NOTHING, np.int32)
        strange: set[str] = set()
        for row, caption in zip(found, captions, strict=True):
            words = split(caption)
            if len(words) > self.length - 1:
                say_cut(caption, self.length - 1, words, self.length - 1)
            strange |= {word for word in words if word not in known}
            row[0] = START
            numbers = [known.get(word, UNKNOWN) for word in words[: self.length - 1]]
            row[1 : 1 + len(numbers)] = numbers
        if strange:
            warnings.warn(
                f"words that the training data did not have: {some_of(sorted(strange), 8)}; each is told as unknown",
                stacklevel=3,
            )
        return found

    def knowing(self, captions: Sequence[str]) -> "Words":
        """With the vocabulary of these captions, unless it has one."""
        return self if self.words else dataclasses.replace(self, words=vocabulary_of(captions))


def split(caption: str) -> list[str]:
    """The words of a caption."""
    return re.findall(r"[^\W_]+", caption.lower())


def vocabulary_of(captions: Sequence[str], most: int = 20_000) -> tuple[str, ...]:
    """The words of the captions in alphabetical order; of more than ``most``, those that occur most often."""
    counts = Counter(word for caption in captions for word in split(caption))
    return tuple(sorted(word for word, _ in counts.most_common(most)))
