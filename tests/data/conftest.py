"""Small sources on disk, each with contents that are known."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from score_sde import data


def picture(k: int, height: int = 8, width: int = 8) -> np.ndarray:
    """An image that no other has, and that is not its own mirror image."""
    return np.random.default_rng(k).integers(0, 256, (height, width, 3), np.uint8)


def save(path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_images(path, n: int = 300, seed: int = 0) -> None:
    """A folder as people have them: colour PNG and JPEG files of all sizes from 16 to 90 pixels, in three sub-folders.

    The middle of image k is of one colour that no other image has to within 4 levels, so that it can be told after a
    crop, a resize, a flip and JPEG's losses: see ``which``.
    """
    rng = np.random.default_rng(seed)
    for k in range(n):
        height, width = rng.integers(16, 91, 2)
        pixels = np.full((height, width, 3), colour(k), np.uint8)
        pixels[:, : width // 2 - min(height, width) // 4] = 255  # left of the middle: no image is its mirror image
        kind = rng.choice(["png", "jpg"])
        path_of = path / "abc"[k % 3] / f"{k:03}.{kind}"
        path_of.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path_of, **({"quality": 95} if kind == "jpg" else {}))


def colour(k: int) -> tuple[int, int, int]:
    """One of 1000, at least 20 levels apart in a channel."""
    return 20 + 20 * (k % 10), 20 + 20 * (k // 10 % 10), 20 + 20 * (k // 100)


def which(image: np.ndarray) -> int:
    """The number of an image of ``write_images``, from the colour of its middle."""
    middle = image[image.shape[0] // 2, image.shape[1] // 2].astype(float)
    ones, tens, hundreds = np.rint((middle - 20) / 20).astype(int)
    return int(ones + 10 * tens + 100 * hundreds)


@pytest.fixture(scope="session")
def many_images(tmp_path_factory):
    """300 images of many sizes; do not write there."""
    path = tmp_path_factory.mktemp("many") / "photos"
    write_images(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Twelve images in three sub-folders."""
    for k in range(12):
        save(tmp_path / "photos" / "abc"[k % 3] / f"{k:02}.png", picture(k))
    return tmp_path / "photos"


@pytest.fixture
def edm_zip(tmp_path):
    """Nine images as EDM packs them: numbered folders that mean nothing, and dataset.json."""
    path = tmp_path / "edm.zip"
    with zipfile.ZipFile(path, "w") as archive:
        labels = []
        for k in range(9):
            save(tmp_path / "one.png", picture(k))
            name = f"0000{k % 2}/img{k:08}.png"
            archive.write(tmp_path / "one.png", name)
            labels.append([name, k % 4])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


@pytest.fixture
def npz(tmp_path):
    """Ten grey images with labels."""
    path = tmp_path / "set.npz"
    pixels = np.stack([picture(k)[..., 0] for k in range(10)])
    np.savez(path, data=pixels, label=np.arange(10) % 3)
    return path


@pytest.fixture
def npy(tmp_path):
    """Ten images without labels, large enough to have to be mapped."""
    path = tmp_path / "set.npy"
    np.save(path, np.stack([picture(k) for k in range(10)]))
    return path


@pytest.fixture
def idx_folder(tmp_path):
    """Six + four images in IDX format, one file of each split packed."""
    import gzip
    import struct

    for prefix, n, pack in (("train", 6, False), ("t10k", 4, True)):
        pixels = np.stack([picture(k)[..., 0] for k in range(n)])
        images = struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes()
        labels = struct.pack(">4BI", 0, 0, 8, 1, n) + bytes(range(n))
        for name, content in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            packed = gzip.compress(content) if pack else content
            (tmp_path / "idx" / (name + ".gz" * pack)).parent.mkdir(exist_ok=True)
            (tmp_path / "idx" / (name + ".gz" * pack)).write_bytes(packed)
    return tmp_path / "idx"


@pytest.fixture(params=["digits", "moons", "npz", "npy", "folder", "zip", "idx", "tfds"])
def any_source(request):
    """Every kind of source, a few examples of each."""
    if request.param == "tfds":
        tfds = pytest.importorskip("tensorflow_datasets")
        with tfds.testing.mock_data(num_examples=10):
            yield data.open_source("cifar10")
        return
    fixture = {"zip": "edm_zip", "idx": "idx_folder"}.get(request.param, request.param)
    if request.param in ("digits", "moons"):
        source = data.open_source(request.param)
        yield data.Subset(source, np.arange(9))
    elif request.param in ("npz", "npy"):
        yield data.open_source("arrays", path=request.getfixturevalue(fixture))
    elif request.param == "idx":
        yield data.open_source("idx", path=request.getfixturevalue(fixture))
    else:
        yield data.open_source("images", path=request.getfixturevalue(fixture))
