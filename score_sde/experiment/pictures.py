"""A user's own pictures, in the form of a model's examples."""

from pathlib import Path

import numpy as np
from PIL import Image

from score_sde.data import Source
from score_sde.data.commands import open_any
from score_sde.data.source import ArraySource
from score_sde.data.sources.images import SUFFIXES, UNREADABLE
from score_sde.data.sources.resize import Fit
from score_sde.experiment.run import Run


def pictures(run: Run, place: str) -> Source:
    """The pictures of a file, a folder or a source by name; those of files and folders are cut square and resized."""
    if len(run.shape) != 3:
        raise ValueError(f"this model is of {run.shape}, not of images (height, width, channels)")
    height, _, channels = run.shape
    path = Path(place).expanduser()
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return ArraySource(str(path), opened(path, height, channels)[None], levels=256)
    options = {"size": height, "channels": channels, "test_fraction": 0.0} if path.is_dir() else {}
    source = open_any(place, run.experiment.evaluation.split if not path.exists() else "train", options)
    if tuple(source.shape) != run.shape:
        raise ValueError(
            f"the images of {place} have shape {tuple(source.shape)}, but the model is of {run.shape}; give images of "
            "that shape, or a folder of square ones, which are resized"
        )
    return source


def opened(path: Path, size: int, channels: int) -> np.ndarray:
    """The largest square in the middle of a picture, in this size."""
    try:
        with Image.open(path) as image:
            return Fit(size=size, channels=channels)(image, str(path))
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
