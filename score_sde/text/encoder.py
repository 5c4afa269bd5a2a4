"""What an encoder of captions is, and the warning of what it cuts."""

import warnings
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class TextEncoder(Protocol):
    """From captions to an array of tokens: integers (n, length), or vectors (n, length, features), 0 where there is none."""

    @property
    def length(self) -> int: ...

    @property
    def vocabulary(self) -> int | None: ...

    @property
    def features(self) -> int | None: ...

    def encode(self, captions: Sequence[str]) -> np.ndarray: ...

    def knowing(self, captions: Sequence[str]) -> Any:
        """The encoder with what it learns from the captions of the training data."""
        ...


def say_cut(caption: str, kept: int, tokens: Sequence[str], length: int) -> None:
    """Warn that the caption is longer than the encoder takes."""
    warnings.warn(
        f"the caption {caption!r} has {len(tokens)} tokens, and the encoder takes {length}; left out: "
        f"{' '.join(tokens[kept:])!r}",
        stacklevel=4,
    )
