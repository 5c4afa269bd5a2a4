"""IDX files, the format of MNIST, and Fashion-MNIST as installed by Debian's package ``dataset-fashion-mnist``."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from score_sde.checks import require
from score_sde.data.source import ArraySource, check_split

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
PREFIX = {"train": "train", "test": "t10k"}


def fashion_mnist(split: str = "train", path: str | Path = DEBIAN, pad: int = 0) -> ArraySource:
    """60,000 + 10,000 images of clothing, 28 x 28, ten classes (Xiao et al. 2017; MIT licence)."""
    hint = "apt-get install dataset-fashion-mnist"
    return idx(path, split, name="fashion_mnist", hint=hint, flippable=True, pad=pad)


def idx(
    path: str | Path,
    split: str = "train",
    *,
    name: str = "idx",
    hint: str = "put the four files of an MNIST-like set there",
    flippable: bool = False,
    pad: int = 0,
) -> ArraySource:
    """A folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-...``; plain or ``.gz``.

    ``pad``: black pixels to add on each side (2 turns 28 x 28 into 32 x 32, which can be halved five times).
    """
    check_split(name, split, tuple(PREFIX))
    require(pad >= 0, f"pad = {pad}; allowed: 0 or more pixels on each side")
    images = read_idx(find(Path(path), f"{PREFIX[split]}-images-idx3-ubyte", name, hint), 3)
    labels = read_idx(find(Path(path), f"{PREFIX[split]}-labels-idx1-ubyte", name, hint), 1)
    images = np.pad(images, [(0, 0), (pad, pad), (pad, pad)])
    return ArraySource(name, images, labels, flippable=flippable)


def find(folder: Path, file: str, name: str, hint: str) -> Path:
    """The file, plain or compressed."""
    for candidate in (folder / file, folder / f"{file}.gz"):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{name}: there is no {file} or {file}.gz in {folder}. Get it with: {hint}")


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Two zero bytes, the type (8: bytes), the number of dimensions, each as a big-endian uint32, then the data."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be unpacked ({error}); fetch it again") from error
    start = 4 + 4 * dimensions
    expected = bytes([0, 0, 8, dimensions])
    require(
        len(content) >= start and content[:4] == expected,
        f"{path} is no IDX file of bytes with {dimensions} dimensions: it begins with {content[:4].hex()}, "
        f"not {expected.hex()}; fetch it again",
    )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    require(
        len(content) == start + math.prod(shape),
        f"{path} should hold {' x '.join(map(str, shape))} bytes after its header, but holds {len(content) - start}; "
        "fetch it again",
    )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
