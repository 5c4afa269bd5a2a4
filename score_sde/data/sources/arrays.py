"""``.npy`` and ``.npz`` files of arrays, with or without labels."""

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from score_sde.checks import require
from score_sde.data.source import RESERVED, ArraySource, Source, check_split, hold_out

LARGE = 2**30


def arrays(
    path: str | Path,
    split: str = "train",
    *,
    labels: str | Path | None = None,
    levels: int | None = None,
    num_classes: int | None = None,
    flippable: bool = False,
    test_fraction: float = 0.0,
    data_key: str = "data",
    label_key: str = "label",
) -> Source:
    """The arrays of a file: (n, H, W, C) or (n, H, W) bytes, or floats (n, ...), which are continuous.

    A ``.npy`` is memory-mapped, as is a large array of an uncompressed ``.npz``, so it may be larger than memory.
    ``labels`` is the path of the ``.npy`` of the labels of a ``.npy``.
    A ``.npz`` contains ``data`` and optionally ``label`` (or the names in the keys); its other arrays of numbers or strings
    with one row per example are entries under their own names, such as ``mask`` or ``caption``. It has splits if it
    contains ``train_data``, ``train_label``, ``test_data`` ...; else all examples but a ``test_fraction`` are "train".
    """
    path = Path(path)
    require(path.is_file(), f"{path} does not exist, or is no file; make it with numpy.save or numpy.savez")
    require(path.suffix in (".npy", ".npz"), f"{path} ends with {path.suffix!r}; allowed: .npy, .npz")
    kind: type[ArraySource] = ArraySource
    label: np.ndarray | None = None
    others: dict[str, np.ndarray] = {}
    splits: tuple[str, ...] = ()
    try:
        if path.suffix == ".npy":
            kind, data = MappedSource, np.load(path, mmap_mode="r")
            label = None if labels is None else np.load(labels)
        else:
            require(labels is None, f"labels = {labels} is for .npy files; put {label_key!r} into {path}")
            with np.load(path) as file:
                splits = splits_of(file, data_key)
                if splits:
                    check_split(str(path), split, splits)
                columns = columns_of(file, split if splits else "", splits)
                require(
                    data_key in columns,
                    f"{path} has no array {data_key!r}; it has {', '.join(file) or 'none'}. "
                    "Set data_key and label_key to what it has",
                )
                data = member(path, file, columns.pop(data_key))
                label = file[columns.pop(label_key)] if label_key in columns else None
                others = {name: file[key] for name, key in columns.items() if is_entry(file, name, key, len(data))}
    except (OSError, ValueError, EOFError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} cannot be read: {error}") from error
    if label is not None and not (label.ndim == 1 and np.issubdtype(label.dtype, np.integer)):
        raise ValueError(f"{path}: labels must be integers (n,); they are {label.dtype} {label.shape}")
    source = kind(str(path), data, label, levels, num_classes, flippable, others)
    return source if splits else hold_out(source, split, test_fraction)


def member(path: Path, file: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    """An array of a .npz; one of more than ``LARGE`` bytes is mapped, not read, unless it is compressed."""
    archive = file.zip
    name = key if archive is None or key in archive.namelist() else f"{key}.npy"
    if archive is None or name not in archive.namelist():
        return file[key]
    entry = archive.getinfo(name)
    if entry.file_size <= LARGE or entry.compress_type != zipfile.ZIP_STORED:
        return file[key]
    with path.open("rb") as stream:
        stream.seek(entry.header_offset)
        lengths = struct.unpack("<HH", stream.read(30)[26:])  # of the name and of what follows it
        stream.seek(entry.header_offset + 30 + sum(lengths))
        if np.lib.format.read_magic(stream) != (1, 0):
            return file[key]
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        return np.memmap(path, dtype, "r", stream.tell(), shape, "F" if fortran else "C")


def splits_of(file: np.lib.npyio.NpzFile, data_key: str) -> tuple[str, ...]:
    """The splits that have data."""
    return tuple(sorted(key.removesuffix(f"_{data_key}") for key in file if key.endswith(f"_{data_key}")))


def columns_of(file: np.lib.npyio.NpzFile, split: str, splits: Sequence[str]) -> dict[str, str]:
    """The keys of the file in a split, by their names without its prefix; "train_mask" belongs to "train"."""
    if not split:
        return {key: key for key in file}
    found = {}
    for key in file:
        owner = max((other for other in splits if key.startswith(f"{other}_")), key=len, default=None)
        if owner == split:
            found[key.removeprefix(f"{split}_")] = key
    return found


def is_entry(file: np.lib.npyio.NpzFile, name: str, key: str, n: int) -> bool:
    """Whether an array holds numbers, or captions, with one row for each of n examples; reads only its header."""
    archive = file.zip
    if archive is None or name in ("data", "label", *RESERVED) or f"{key}.npy" not in archive.namelist():
        return False
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version not in readers:  # version 3 is for structured arrays
            return False
        shape, _, dtype = readers[version](member)
    return shape[:1] == (n,) and dtype.kind in "biufU"


class MappedSource(ArraySource):
    """A ``.npy`` file, which is pickled by its path rather than by its contents."""

    def __reduce__(self):
        return mapped, (self.name, self.labels, self.levels, self.num_classes, self.flippable, self.others)


def mapped(path: str, *rest) -> MappedSource:
    """Open the file again as a source."""
    return MappedSource(path, np.load(path, mmap_mode="r"), *rest)
