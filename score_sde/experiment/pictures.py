"""A user's own pictures, in the form of a model's examples."""

from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from score_sde.data import Source
from score_sde.data.commands import open_any
from score_sde.data.source import ArraySource, Derived, Examples, take
from score_sde.data.sources.images import SUFFIXES, UNREADABLE
from score_sde.data.sources.resize import Fit
from score_sde.experiment.run import Run


def pictures(run: Run, place: str) -> Source:
    """The pictures of a file, a folder or a source by name; those of files and folders are cut square and resized, and bytes
    are rounded to the levels of the model.
    """
    path = Path(place).expanduser()
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        source: Source = ArraySource(str(path), opened(path, run, run.shape[-1])[None], levels=256)
    else:
        options = {"size": side_of(run), "channels": run.shape[2], "test_fraction": 0.0} if path.is_dir() else {}
        source = open_any(place, run.experiment.evaluation.split if not path.exists() else "train", options)
    if tuple(source.shape) != run.shape:
        raise ValueError(
            f"the images of {place} have shape {tuple(source.shape)}, but the model is of {run.shape}; give images of "
            "that shape, or a folder of square ones, which are resized"
        )
    if source.levels == run.scaling.levels:
        return source
    if source.levels != 256 or run.scaling.levels is None:
        raise ValueError(
            f"the images of {place} have {source.levels or 'no'} levels, the model's {run.scaling.levels or 'none'}; give "
            "arrays (.npz) of the model's own data"
        )
    return Rounded(source, run.scaling.levels)


class Rounded(Derived):
    """Bytes as fewer levels, black and white at both ends."""

    def __init__(self, source: Source, levels: int):
        super().__init__(source)
        self.levels, self.white = levels, levels - 1

    def take(self, indices: Int[np.ndarray, "n"]) -> Examples:
        examples = take(self.source, indices)
        data: np.ndarray = np.round(examples["data"] / 255 * self.white).astype(np.uint8)
        return {**examples, "data": data}


def side_of(run: Run) -> int:
    """The side of the model's pictures, which must be square to take files of any size."""
    if len(run.shape) != 3 or run.shape[0] != run.shape[1]:
        raise ValueError(
            f"the model is of {run.shape}; picture files are cut to squares (side, side, channels): give arrays (.npz) of "
            "its own shape instead"
        )
    return run.shape[0]


def opened(path: Path, run: Run, channels: int) -> UInt8[np.ndarray, "side side channels"]:
    """The largest square in the middle of a picture, in the size of the model's."""
    try:
        with Image.open(path) as image:
            return Fit(size=side_of(run), channels=channels)(image, str(path))
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
