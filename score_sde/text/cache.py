"""The arrays of captions in a file: an encoder that takes time is run once for a set of captions."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from score_sde.files import written_whole


def encoded(encoder: Any, captions: Sequence[str], folder: str | Path) -> dict[str, np.ndarray]:
    """The array of each caption, and of "", from the folder if it has those of this encoder and these captions."""
    texts = sorted({"", *captions})
    digest = hashlib.sha256("\0".join([encoder.fingerprint, *texts]).encode()).hexdigest()[:16]
    file = Path(folder) / f"captions_{digest}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as part, part.open("wb") as stream:
            np.save(stream, encoder.encode(texts))
    return dict(zip(texts, np.load(file, mmap_mode="r"), strict=True))
