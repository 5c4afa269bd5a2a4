"""Patches of 110 photographs that Debian's packages bring, as a prior for inverse problems, split by photo.

The photos are in the public domain, CC0 1.0 or CC BY 4.0; ``embedded/photos.csv`` names package, author and licence of
each, ``embedded/photos.md`` how they were chosen. Most are landscapes. On Debian 12 (bookworm), either

    apt-get install endless-sky-high-dpi lomiri-wallpapers-16.04

which installs the game Endless Sky too, or, without installing anything, and then with ``path="photos"``,

    mkdir photos && cd photos
    apt-get download endless-sky-data endless-sky-high-dpi lomiri-wallpapers-16.04
    for deb in *.deb; do dpkg-deb -x "$deb" .; done
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps

from score_sde.checks import require, some_of
from score_sde.data.source import ArraySource, check_split
from score_sde.data.sources.images import UNREADABLE

SPLITS = ("train", "test")
DIGITS = 16  # of a SHA-256 in the table


class Photo(NamedTuple):
    """A row of the table of photos."""

    package: str
    version: str
    file: str  # relative to the root of the file system
    author: str
    licence: str
    split: str
    sha256: str  # its first 16 hexadecimal digits; empty: the file is not checked


def photo_patches(
    split: str = "train",
    path: str | Path = "/",
    size: int = 32,
    *,
    longest: int = 1024,
    flat: float = 8.0,
) -> ArraySource:
    """Square colour patches of photographs, side by side, in the order of the table, then by rows.

    ``path``: the folder below which the packages lie: "/" if they are installed, or where they were extracted.
    ``longest``: larger photos are first reduced (Lanczos) until their longest side has this many pixels.
    ``flat``: patches whose contrast, of 255, is at most this are left out, clear sky for example; see ``contrast``.

    A photo's patches are all "train" or all "test". With the defaults there are 31,923 and 3,337.
    """
    with resources.as_file(resources.files("score_sde.data") / "embedded" / "photos.csv") as table:
        photos = read_photos(table)
    return patches_of(photos, Path(path).expanduser(), split, size, longest, flat)


def patches_of(
    photos: Sequence[Photo], root: Path, split: str, size: int = 32, longest: int = 1024, flat: float = 8.0
) -> ArraySource:
    """The patches of the photos of one split; see ``photo_patches``."""
    check_split("photo_patches", split, SPLITS)
    require(longest >= 1, f"longest = {longest}; allowed: a positive number of pixels")
    require(1 <= size <= longest, f"size = {size}; allowed: 1 to longest = {longest} pixels")
    require(0 <= flat < 255, f"flat = {flat}; allowed: 0 (leave out only constant patches) to below 255")
    check_present(photos, root)

    def patches(photo: Photo) -> UInt8[np.ndarray, "n size size 3"]:
        cut = cut_patches(reduced(read_photo(photo, root, photos), longest), size)
        return cut[contrast(cut) > flat]

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(patches, [photo for photo in photos if photo.split == split]))
    require(
        sum(map(len, found)) > 0,
        f"photo_patches: no patch of {split!r} is left with size = {size}, longest = {longest}, flat = {flat}; "
        "cut smaller patches, or lower flat",
    )
    return ArraySource("photo_patches", np.concatenate(found), flippable=True)


def read_photos(path: Path) -> list[Photo]:
    """The photos of a CSV file, of which every one is in one split."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    require(
        len(rows) > 1 and tuple(rows[0]) == Photo._fields,
        f"{path} should begin with the line {','.join(Photo._fields)!r} and hold a photo in each of the next; "
        f"it has {len(rows)} lines, the first {','.join(rows[0]) if rows else ''!r}",
    )
    photos: list[Photo] = []
    splits: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        require(
            len(row) == len(Photo._fields),
            f"{path}: row {number} has {len(row)} entries; allowed: {len(Photo._fields)}, {', '.join(Photo._fields)}",
        )
        photo = Photo(*row)
        require(
            photo.split in SPLITS, f"{path}: row {number} has split = {photo.split!r}; allowed: {', '.join(SPLITS)}"
        )
        require(
            photo.file not in splits,
            f"{path}: row {number} repeats {photo.file}, which is {splits.get(photo.file)!r} already; remove one",
        )
        splits[photo.file] = photo.split
        photos.append(photo)
    return photos


def how_to_get(packages: Iterable[str]) -> str:
    """The commands that fetch packages."""
    names = " ".join(sorted(set(packages)))
    return (
        f"Get them with: apt-get install {names}; or, in an empty folder, with: apt-get download {names} && "
        'for deb in *.deb; do dpkg-deb -x "$deb" .; done, and set path to that folder'
    )


def check_present(photos: Sequence[Photo], root: Path) -> None:
    """Raise an error unless every photo, of both splits, lies below ``root``: a smaller set would be another one."""
    require(root.is_dir(), f"path = {str(root)!r} is no folder; allowed: '/' or where the packages were extracted")
    missing = [photo for photo in photos if not (root / photo.file).is_file()]
    if not missing:
        return
    counts = []
    for package, version in dict.fromkeys((photo.package, photo.version) for photo in missing):
        absent = [photo.file for photo in missing if photo.package == package]
        n = sum(photo.package == package for photo in photos)
        which = "" if len(absent) == n else f" ({some_of(absent, 2)})"
        counts.append(f"{len(absent)} of the {n} of {package} {version}{which}")
    raise FileNotFoundError(
        f"photo_patches: photos are missing below path = {str(root)!r}: {', '.join(counts)}. "
        + how_to_get(photo.package for photo in photos)
    )


def read_photo(photo: Photo, root: Path, photos: Sequence[Photo]) -> Image.Image:
    """A photo in colour, upright."""
    file = root / photo.file
    again = how_to_get(other.package for other in photos)
    try:
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:DIGITS]
        require(
            photo.sha256 in ("", digest),
            f"photo_patches: {file} is damaged, or not the one of {photo.package} version {photo.version}: its SHA-256 "
            f"begins with {digest}, not {photo.sha256}. {again}",
        )
        return ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    except UNREADABLE as error:
        raise ValueError(f"photo_patches: {file} of {photo.package} cannot be read ({error}). {again}") from error


def reduced(photo: Image.Image, longest: int) -> Image.Image:
    """The photo with a longest side of at most ``longest`` pixels; it is never enlarged."""
    factor = longest / max(photo.size)
    if factor >= 1:
        return photo
    width, height = (max(1, round(factor * side)) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.LANCZOS)


def cut_patches(photo: Image.Image, size: int) -> UInt8[np.ndarray, "n size size 3"]:
    """The squares of a grid from the upper left corner, by rows; what is left over at right and below is dropped."""
    pixels = np.asarray(photo)
    rows, columns = pixels.shape[0] // size, pixels.shape[1] // size
    grid = pixels[: rows * size, : columns * size].reshape(rows, size, columns, size, 3)
    return grid.swapaxes(1, 2).reshape(-1, size, size, 3)


def contrast(patches: UInt8[np.ndarray, "n H W 3"]) -> Float[np.ndarray, "n"]:
    """The standard deviation over the pixels of a patch, root mean square over colours, so 0 for a constant colour."""
    return np.sqrt(patches.var((1, 2), dtype=np.float32).mean(-1))
