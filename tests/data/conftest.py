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
