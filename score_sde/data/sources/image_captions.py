"""The captions of images, from a text file beside each: photo.txt beside photo.jpg, as most collections have them."""

import warnings
from collections.abc import Sequence
from pathlib import PurePosixPath

from score_sde.checks import require, some_of
from score_sde.data.sources.files import Files


def read_captions(files: Files, names: Sequence[str]) -> list[str]:
    """The first line of each file. An image without one has the empty caption, with a warning."""
    there = set(files.names())
    beside = [str(PurePosixPath(name).with_suffix(".txt")) for name in names]
    without = [name for name, file in zip(names, beside, strict=True) if file not in there]
    require(len(without) < len(names), f"captions = True, but {files} has no .txt beside an image; leave captions out")
    if without:
        warnings.warn(
            f"{files}: {len(without)} of {len(names)} images have no caption, a .txt beside them, and get the empty one: "
            f"{some_of(without, 3)}",
            stacklevel=3,
        )
    return [_first_line(files, file) if file in there else "" for file in beside]


def _first_line(files: Files, name: str) -> str:
    try:
        lines = files.read(name).decode("utf-8").strip().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{files}/{name} is no text in UTF-8: {error}") from error
    return lines[0].strip() if lines else ""
