"""Captions as leaves of a condition: encoders from strings to arrays, which run on the host when examples are read.

An encoder is a frozen dataclass with ``encode(captions) -> array (n, ...)``, ``length`` (the most tokens of a caption), and
``vocabulary`` (the number of words, if the array holds words as integers) or ``features`` (the size of its vectors).
"""

from score_sde.text.encoder import TextEncoder
from score_sde.text.minilm import MiniLM
from score_sde.text.words import Words, vocabulary_of

__all__ = ["MiniLM", "TextEncoder", "Words", "vocabulary_of"]
