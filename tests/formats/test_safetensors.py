"""Safetensors files: what is read is what was written, and what cannot be held is refused before anything is lost."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest

from score_sde.formats import safetensors

ARRAYS = {
    "float": np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "brain": np.array([1.5, -2], ml_dtypes.bfloat16),
    "scalar": np.array(7.5),
    "empty": np.zeros((0, 3), np.float32),
    "whole": np.array([2**40, -1]),
    "bits": np.array([True, False]),
}


def test_what_was_written_is_read(tmp_path):
    path = safetensors.write(tmp_path / "a" / "x.safetensors", ARRAYS, metadata={"card": "für alle"})
    found = safetensors.read(path, precision=None)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
    assert safetensors.read_metadata(path) == {"card": "für alle"}
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


def test_the_file_is_of_that_format(tmp_path):
    """Its first eight bytes are the length of a JSON header, which says where each array lies."""
    content = safetensors.write(tmp_path / "x.safetensors", {"a": np.float32([1, 2])}).read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    assert (header["a"]["dtype"], header["a"]["shape"]) == ("F32", [2])
    start, end = header["a"]["data_offsets"]
    np.testing.assert_array_equal(np.frombuffer(content[8 + length :][start:end], "<f4"), [1, 2])


def test_half_precision_is_the_nearest_and_takes_half_the_bytes(tmp_path):
    array = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    sizes = [
        safetensors.write(tmp_path / precision, {"a": array, "n": np.arange(3)}, precision=precision).stat().st_size
        for precision in ("float16", "float32")
    ]
    assert sizes[1] - sizes[0] == 20_000
    found = safetensors.read(tmp_path / "float16")
    assert found["a"].dtype == np.float32
    assert found["n"].dtype == np.int64
    np.testing.assert_array_equal(found["a"], array.astype(np.float16))
    assert np.abs(found["a"] - array).max() <= 2**-11 * np.abs(array).max()


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"w": np.float32([1, 1e5])}, {"precision": "float16"}, "w holds 1 numbers too large for float16"),
        ({"w": np.zeros(2)}, {"precision": "half"}, "precision = 'half'; allowed: float32, float16, or None"),
        ({"w": np.array(["text"])}, {}, r"'w' \(<U4\): the file can hold arrays of floats"),
        ({"w": np.zeros(2, complex)}, {}, r"'w' \(complex128\): the file can hold arrays of floats"),
        ({"w": np.zeros(2)}, {"metadata": {"step": 3}}, r"metadata\['step'\]: keys and values are text"),
    ],
)
def test_what_cannot_be_held_leaves_the_old_file(tmp_path, arrays, options, message):
    path = safetensors.write(tmp_path / "x.safetensors", {"a": np.zeros(3)})
    before = path.read_bytes()
    unchecked = getattr(safetensors.write, "__wrapped__", safetensors.write)  # types are checked in tests only
    with pytest.raises(ValueError, match=message):
        unchecked(path, arrays, **options)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_infinite_numbers_stay_infinite(tmp_path):
    path = safetensors.write(tmp_path / "x", {"a": np.array([np.inf, np.nan])}, precision="float16")
    np.testing.assert_array_equal(safetensors.read(path)["a"], [np.inf, np.nan])


def test_damaged_files(tmp_path):
    path = safetensors.write(tmp_path / "x.safetensors", ARRAYS)
    content = path.read_bytes()
    for broken in (b"", b"nonsense", content[:-3], content[: len(content) // 3]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"x.safetensors cannot be read as a safetensors file .* copy it again"):
            safetensors.read(path)
    with pytest.raises(ValueError, match="nothing does not exist, or is no file"):
        safetensors.read(tmp_path / "nothing")
