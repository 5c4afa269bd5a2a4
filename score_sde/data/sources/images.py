"""Folders and zip files of images, of any size, labelled by sub-folder or by EDM's ``dataset.json``."""

import dataclasses
import io
import json
import struct
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import numpy as np
from PIL import Image

from score_sde.checks import require
from score_sde.data.source import Example, Source, check_split, hold_out
from score_sde.data.sources.crops import Filter, Fit
from score_sde.data.sources.files import Files

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
# What Pillow raises for broken, unknown and absurdly large data, and zipfile for broken and locked entries.
UNREADABLE = (
    OSError,
    SyntaxError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
)
Labels = Literal["auto", "folders", "json", "none"]


def images(
    path: str | Path,
    split: str = "train",
    *,
    size: int | None = None,
    crop: int | Literal["square"] | None = None,
    filter: Filter = "lanczos",
    channels: int | None = None,
    labels: Labels = "auto",
    on_corrupt: Literal["stop", "skip"] = "stop",
    test_fraction: float = 0.0,
    flippable: bool = False,
) -> Source:
    """The images under ``path``, in the order of their names.

    Splits are sub-folders, if there is one named "train"; else all is "train", less a ``test_fraction``.
    ``crop`` ("square", or a length) and ``size`` bring images to one size; without them they must have one.
    ``channels`` is 1 or 3, by default those of the first image.
    ``labels``: "json" (EDM's), "folders" (in the order of their names), "none", or "auto": the first that there is.
    ``on_corrupt``: "stop" says which image cannot be read when its turn comes; "skip" decodes every image once at the
    start, leaves out those that fail, and warns how many.
    """
    for option, value, allowed in (("on_corrupt", on_corrupt, ("stop", "skip")), ("labels", labels, get_args(Labels))):
        require(value in allowed, f"{option} = {value!r}; allowed: {', '.join(allowed)}")
    path = Path(path)
    require(path.exists(), f"{path} does not exist; give a folder or a zip file of images")
    has_splits = (path / "train").is_dir()
    if has_splits:
        check_split(str(path), split, tuple(sorted(folder.name for folder in path.iterdir() if folder.is_dir())))
        path = path / split
    files = Files(path)
    everything = files.names()
    names = tuple(name for name in everything if PurePosixPath(name).suffix.lower() in SUFFIXES)
    require(
        len(names) > 0,
        f"{path} holds no images, only {len(everything)} other files; known: {', '.join(sorted(SUFFIXES))}",
    )
    if on_corrupt == "skip":
        names = readable(files, names)
    label = read_labels(files, names, "dataset.json" in everything, labels)
    first = open_image(files, names[0])
    if channels is None:
        channels = 1 if first.mode in ("1", "L", "LA") else 3
    fit = Fit(crop, size, filter, channels)
    source = ImageSource(
        name=str(path),
        files=files,
        names=names,
        labels=label,
        fit=fit,
        shape=(*common_size(files, names, fit), channels),
        num_classes=None if label is None else int(label.max()) + 1,
        flippable=flippable,
    )
    return source if has_splits else hold_out(source, split, test_fraction)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSource(Source):
    """Image files, decoded when they are asked for."""

    name: str
    files: Files
    names: tuple[str, ...]
    labels: np.ndarray | None
    fit: Fit
    shape: tuple[int, ...]
    num_classes: int | None
    flippable: bool
    levels: int | None = 256

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: image {index} does not exist; there are {len(self)}")
        name = self.names[index]
        image = open_image(self.files, name, decode=True)
        example = {"data": self.fit(image, f"{self.name}/{name}")}
        return example if self.labels is None else {**example, "label": int(self.labels[index])}


def open_image(files: Files, name: str, decode: bool = False) -> Image.Image:
    """The image, at first only its header."""
    try:
        image = Image.open(io.BytesIO(files.read(name)))
        if decode:
            image.load()
    except UNREADABLE as error:
        raise ValueError(
            f"{files.path}/{name} cannot be read ({error}); remove it, or set on_corrupt = 'skip' to leave such images "
            "out"
        ) from error
    return image


def readable(files: Files, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those images that decode, and a warning that counts the others."""

    def decodes(name: str) -> bool:
        try:
            open_image(files, name, decode=True)
        except ValueError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        good = list(pool.map(decodes, names))
    bad = [name for name, fine in zip(names, good, strict=True) if not fine]
    require(len(bad) < len(names), f"{files.path}: none of the {len(names)} images can be read")
    if bad:
        listed = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        warnings.warn(
            f"{files.path}: {len(bad)} of {len(names)} images cannot be read and are left out: {listed}", stacklevel=3
        )
    return tuple(name for name, fine in zip(names, good, strict=True) if fine)


def common_size(files: Files, names: tuple[str, ...], fit: Fit) -> tuple[int, int]:
    """The (height, width) that every image will have. Reads headers only, and only if the size depends on them."""
    if fit.size is not None and not isinstance(fit.crop, int):
        return fit.size, fit.size

    def size_of(name: str) -> tuple[int, int]:
        return fit.size_of(*open_image(files, name).size, f"{files.path}/{name}")

    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(size_of, names))
    for name, size in zip(names, sizes, strict=True):
        require(
            size == sizes[0],
            f"{files.path} holds images of different sizes: {names[0]} gives {sizes[0][1]} x {sizes[0][0]}, {name} "
            f"gives {size[1]} x {size[0]} pixels (of {len(set(sizes))} sizes). Set crop = 'square' and size = 64, for "
            "example, to bring them to one",
        )
    return sizes[0]


def read_labels(files: Files, names: tuple[str, ...], has_json: bool, labels: Labels) -> np.ndarray | None:
    """A label for each image, or None if there are none."""
    if labels == "json" or (labels == "auto" and has_json):
        require(has_json, f"labels = 'json', but {files.path} has no dataset.json at its top")
        return json_labels(files, names)
    folders = [PurePosixPath(name).parts[0] for name in names]
    in_folders = all(folder != name for folder, name in zip(folders, names, strict=True))
    if labels == "none" or (labels == "auto" and not in_folders):
        return None
    require(in_folders, f"labels = 'folders', but {files.path} holds images that are in no sub-folder")
    return np.unique(folders, return_inverse=True)[1].astype(np.int32)


def json_labels(files: Files, names: tuple[str, ...]) -> np.ndarray | None:
    """EDM's {"labels": [[name, label], ...]}, or {"labels": null} for none."""
    where = f"{files.path}/dataset.json"
    try:
        listed = json.loads(files.read("dataset.json")).get("labels")
        by_name = None if listed is None else dict(listed)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{where} is not of the form {{"labels": [["name.png", 0], ...]}}: {error}') from error
    if by_name is None:
        return None
    missing = [name for name in names if name not in by_name]
    require(not missing, f"{where} gives no label for {len(missing)} of {len(names)} images: {', '.join(missing[:5])}")
    found = [by_name[name] for name in names]
    wrong = [label for label in found if not isinstance(label, int) or label < 0]
    require(not wrong, f"{where} has the label {wrong[:1]}; allowed: integers from 0")
    return np.array(found, np.int32)
