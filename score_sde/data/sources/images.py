"""Folders and zip files of images, of any size, labelled by sub-folder or by EDM's ``dataset.json``, and with captions."""

import dataclasses
import difflib
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from score_sde.checks import require
from score_sde.data.source import Example, Source, check_split, hold_out
from score_sde.data.sources.files import Files
from score_sde.data.sources.image_captions import read_captions
from score_sde.data.sources.image_labels import Labels, check_labels, read_labels
from score_sde.data.sources.resize import Filter, Fit

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
# Errors of Pillow for broken, unknown and extremely large data, and of zipfile for broken and encrypted entries.
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
TEST_FOLDERS = ("test", "validation", "valid", "val")  # next to "train"; the first that exists
HELD_OUT = 0.1


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
    test_fraction: float | None = None,
    flippable: bool = False,
    captions: bool = False,
) -> Source:
    """The images under ``path``, a folder or a zip file, sorted by name.

    ``size``: every image is resized to a square of this size, from its largest central square or the ``crop``; small
    images are enlarged. Without a size, all images must have equal sizes after the ``crop`` ("square", or a length).
    ``channels`` is 1 or 3, by default that of the first image.
    ``labels``: "json" (EDM's), "folders" (sorted by name), "none", or "auto": the first that is available.
    ``captions``: whether photo.txt beside photo.jpg is its caption, the entry ``caption``.
    ``on_corrupt``: "stop" raises an error that names the image when it cannot be read; "skip" decodes every image once
    at the start, omits those that fail, and warns.
    ``test_fraction``: the fraction held out of "train" as "test"; 0 for none. The default None uses top-level folders
    "train" and "test" (or "validation") as the splits if they exist, else it holds out every tenth image.
    ``flippable``: whether a mirrored image is also a valid image; True for most photographs, not for text.
    """
    check_labels(labels)
    require(on_corrupt in ("stop", "skip"), f"on_corrupt = {on_corrupt!r}; allowed: stop, skip")
    whole = Files(existing(path))
    files, held_out = split_of(whole, split, test_fraction)
    everything, names = files.names(), image_names(files)
    require(
        len(names) > 0,
        f"{files} holds no images, only {len(everything)} other files; known: {', '.join(sorted(SUFFIXES))}",
    )
    classes = names if split == "train" or held_out is not None else image_names(whole.within("train"))
    if on_corrupt == "skip":
        names = readable(files, names)
    label, num_classes = read_labels(files, names, "dataset.json" in everything, labels, classes)
    if channels is None:
        channels = 1 if open_image(files, names[0]).mode in ("1", "L", "LA") else 3
    fit = Fit(crop, size, filter, channels)
    source = ImageSource(
        name=str(files),
        files=files,
        names=names,
        labels=label,
        fit=fit,
        shape=(*common_size(files, names, fit), channels),
        num_classes=num_classes,
        flippable=flippable,
        captions=read_captions(files, names) if captions else None,
    )
    return source if held_out is None else hold_out(source, split, held_out)


def existing(path: str | Path) -> Path:
    """The path, if it exists."""
    require(str(path) != "", "path is empty; give the folder or the zip file of the images")
    found = Path(path).expanduser()
    if found.exists():
        return found
    above = next(folder for folder in found.absolute().parents if folder.is_dir())
    missing = found.absolute().relative_to(above).parts[0]
    close = difflib.get_close_matches(missing, [entry.name for entry in above.iterdir()], n=1)
    raise ValueError(
        f"{found} does not exist; give a folder or a zip file of images. There is no {missing!r} in {above}"
        + (f"; did you mean {close[0]!r}?" if close else "")
    )


def split_of(whole: Files, split: str, test_fraction: float | None) -> tuple[Files, float | None]:
    """The files that contain the split, and the fraction of them for "test"; None if they are exactly the split."""
    folders = whole.folders()
    share = HELD_OUT if test_fraction is None else test_fraction
    if "train" not in folders:
        return whole, share
    beside = [folder for folder in TEST_FOLDERS if folder in folders]
    require(
        not beside or not test_fraction,
        f"test_fraction = {test_fraction}, but {whole} has a folder {beside[:1]} of its own for that; leave it out",
    )
    if not beside and split in ("train", "test"):
        return whole.within("train"), share
    folder = beside[0] if split == "test" else split
    check_split(str(whole), folder, tuple(folders))
    return whole.within(folder), None


def image_names(files: Files) -> tuple[str, ...]:
    """The images among the files, by their suffixes."""
    return tuple(name for name in files.names() if PurePosixPath(name).suffix.lower() in SUFFIXES)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSource(Source):
    """Image files, decoded on access."""

    name: str
    files: Files
    names: tuple[str, ...]
    labels: np.ndarray | None
    fit: Fit
    shape: tuple[int, ...]
    num_classes: int | None
    flippable: bool
    levels: int | None = 256
    captions: Sequence[str] | None = None

    @property
    def others(self) -> dict[str, Sequence[str]]:
        """Entries of an example besides image and label, in the order of the images."""
        return {} if self.captions is None else {"caption": self.captions}

    @property
    def entries(self) -> tuple[str, ...]:
        return (*super().entries, *self.others)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: image {index} does not exist; there are {len(self)}")
        name = self.names[index]
        image = open_image(self.files, name, decode=True)
        example = {"data": self.fit(image, f"{self.name}/{name}")}
        label = {} if self.labels is None else {"label": int(self.labels[index])}
        return example | label | {name: values[index] for name, values in self.others.items()}


def open_image(files: Files, name: str, decode: bool = False) -> Image.Image:
    """Open an image; only its header unless ``decode``."""
    try:
        if not decode:
            with files.open(name) as file, Image.open(file) as header:
                return header
        image = Image.open(io.BytesIO(files.read(name)))
        image.load()
    except UNREADABLE as error:
        raise ValueError(
            f"{files}/{name} cannot be read ({error}); remove it, or set on_corrupt = 'skip' to leave such images out"
        ) from error
    return image


def readable(files: Files, names: tuple[str, ...]) -> tuple[str, ...]:
    """The images that can be decoded, with a warning that counts the others."""

    def decodes(name: str) -> bool:
        try:
            open_image(files, name, decode=True)
        except ValueError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        good = list(pool.map(decodes, names))
    bad = [name for name, fine in zip(names, good, strict=True) if not fine]
    require(len(bad) < len(names), f"{files}: none of the {len(names)} images can be read")
    if bad:
        listed = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        warnings.warn(
            f"{files}: {len(bad)} of {len(names)} images cannot be read and are left out: {listed}", stacklevel=3
        )
    return tuple(name for name, fine in zip(names, good, strict=True) if fine)


def common_size(files: Files, names: tuple[str, ...], fit: Fit) -> tuple[int, int]:
    """The (height, width) of all images. Reads only headers, and only if the size depends on them."""
    if fit.size is not None and not isinstance(fit.crop, int):
        return fit.size, fit.size

    def size_of(name: str) -> tuple[int, int]:
        return fit.size_of(*open_image(files, name).size, f"{files}/{name}")

    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(size_of, names))
    for name, size in zip(names, sizes, strict=True):
        require(
            size == sizes[0],
            f"{files} holds images of different sizes: {names[0]} gives {sizes[0][1]} x {sizes[0][0]}, {name} gives "
            f"{size[1]} x {size[0]} pixels (of {len(set(sizes))} sizes). Set size = 64, for example: the largest central "
            "square of each image is then brought to 64 x 64",
        )
    return sizes[0]
