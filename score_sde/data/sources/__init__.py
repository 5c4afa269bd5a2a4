"""Sources of examples, one file per kind, and their short names for configs.

A source in a config is one of these names, or an import path ``"package.module:thing"`` of a function that takes
``split`` and options and returns a source.
"""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from score_sde.data.source import Source
from score_sde.objects import import_object

SOURCES = {
    "digits": "score_sde.data.sources.digits:digits",
    "moons": "score_sde.data.sources.toys:moons",
    "checkerboard": "score_sde.data.sources.toys:checkerboard",
    "swiss_roll": "score_sde.data.sources.toys:swiss_roll",
    "mixture": "score_sde.data.sources.toys:mixture",
    "samples": "score_sde.data.sources.toys:samples",
    "shapes": "score_sde.data.sources.shapes:shapes",
    "arrays": "score_sde.data.sources.arrays:arrays",
    "images": "score_sde.data.sources.images:images",
    "emoji": "score_sde.data.sources.emoji:emoji",
    "kanji": "score_sde.data.sources.kanji:kanji",
    "fashion_mnist": "score_sde.data.sources.idx:fashion_mnist",
    "idx": "score_sde.data.sources.idx:idx",
    "photo_patches": "score_sde.data.sources.photo_patches:photo_patches",
    "tfds": "score_sde.data.sources.tfds:tfds",
    "cifar10": "score_sde.data.sources.tfds:cifar10",
    "svhn": "score_sde.data.sources.tfds:svhn",
    "celeba": "score_sde.data.sources.tfds:celeba",
    "celebahq": "score_sde.data.sources.tfds:celebahq",
    "lsun": "score_sde.data.sources.tfds:lsun",
    "imagenet32": "score_sde.data.sources.tfds:imagenet32",
    "imagenet64": "score_sde.data.sources.tfds:imagenet64",
}


def open_source(name: str, split: str = "train", **options: Any) -> Source:
    """The source of this name or import path: ``open_source("digits", "test")``."""
    source = constructor(name)(split=split, **options)
    missing = [part for part in ("name", "shape", "levels", "num_classes", "flippable") if not hasattr(source, part)]
    if missing or not hasattr(source, "__getitem__") or not hasattr(source, "__len__"):
        raise TypeError(
            f"{name} gave a {type(source).__name__}, which is no source: it lacks {', '.join(missing) or 'access'}; "
            "inherit from score_sde.data.Source"
        )
    return source


def kind_of(path: Path) -> str:
    """The name of the source that reads a file or a folder."""
    return "arrays" if path.suffix in (".npy", ".npz") else "images"


def constructor(name: str) -> Callable[..., Any]:
    """The constructor of this name or import path: a function of ``split`` and options."""
    if name in SOURCES:
        return import_object(SOURCES[name])
    path = Path(name)
    if name and path.exists():
        raise ValueError(
            f"{name!r} is a {'folder' if path.is_dir() else 'file'}, not a kind of source: set the name of the source to "
            f"{kind_of(path)!r} and its path to {name!r}"
        )
    if ":" not in name:
        close = difflib.get_close_matches(name, SOURCES, n=1)
        raise ValueError(
            f"there is no source, file or folder {name!r}"
            + (f"; did you mean {close[0]!r}?" if close else ";")
            + f" allowed: {', '.join(SOURCES)}, or an import path 'package.module:function'"
        )
    try:
        return import_object(name)
    except ValueError as error:
        raise ValueError(f"source {error}") from error
