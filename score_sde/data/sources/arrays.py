"""``.npy`` and ``.npz`` files of arrays, with or without labels."""

from pathlib import Path

import numpy as np

from score_sde.checks import require
from score_sde.data.source import ArraySource, Source, check_split, hold_out


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

    A ``.npy`` is mapped, not read, so it may be larger than the memory; ``labels`` names the ``.npy`` of its labels.
    A ``.npz`` holds ``data`` and perhaps ``label`` (or what the keys say). It has splits if it holds ``train_data``,
    ``train_label``, ``test_data`` ...; a file without splits is all "train", less a ``test_fraction``.
    """
    path = Path(path)
    require(path.is_file(), f"{path} does not exist, or is no file; make it with numpy.save or numpy.savez")
    require(path.suffix in (".npy", ".npz"), f"{path} ends with {path.suffix!r}; allowed: .npy, .npz")
    label: np.ndarray | None = None
    splits: tuple[str, ...] = ()
    try:
        if path.suffix == ".npy":
            data = np.load(path, mmap_mode="r")
            label = None if labels is None else np.load(labels)
        else:
            require(labels is None, f"labels = {labels} is for .npy files; put {label_key!r} into {path}")
            with np.load(path) as file:
                splits = tuple(sorted(key.removesuffix(f"_{data_key}") for key in file if key.endswith(f"_{data_key}")))
                if splits:
                    check_split(str(path), split, splits)
                    data_key, label_key = f"{split}_{data_key}", f"{split}_{label_key}"
                require(
                    data_key in file,
                    f"{path} has no array {data_key!r}; it has {', '.join(file) or 'none'}. "
                    "Set data_key and label_key to what it has",
                )
                data = file[data_key]
                label = file.get(label_key)
    except (OSError, ValueError, EOFError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} cannot be read: {error}") from error
    if label is not None and not (label.ndim == 1 and np.issubdtype(label.dtype, np.integer)):
        raise ValueError(f"{path}: labels must be integers (n,); they are {label.dtype} {label.shape}")
    kind = MappedSource if path.suffix == ".npy" else ArraySource
    source = kind(str(path), data, label, levels, num_classes, flippable)
    return source if splits else hold_out(source, split, test_fraction)


class MappedSource(ArraySource):
    """A ``.npy`` file, which goes to a worker process by its name rather than by its contents."""

    def __reduce__(self):
        return mapped, (self.name, self.labels, self.levels, self.num_classes, self.flippable)


def mapped(path: str, *rest) -> MappedSource:
    """The file as a source again."""
    return MappedSource(path, np.load(path, mmap_mode="r"), *rest)
