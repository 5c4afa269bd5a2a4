"""Reading .pth files without PyTorch: what is in them, and nothing that they would like to do."""

import collections
import io
import pickle
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest

from score_sde.formats import pth
from tests.conftest import REFERENCE

MAGIC = 0x1950A86A20F9469CFC6C


@pytest.fixture
def torch_names(monkeypatch):
    """Just enough of torch's names for pickle to write references to them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*arguments):
        raise AssertionError("a reader must not call what a file names")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    for name in pth.DTYPES:
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return types.SimpleNamespace(torch=torch, rebuild=rebuild)


class Tensor:
    """Pickles as torch pickles a tensor."""

    def __init__(self, names, kind, key, size, offset, shape, strides):
        self.storage = ("storage", getattr(names.torch, kind), key, "cpu", size)
        self.rebuild, self.view = names.rebuild, (offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return self.rebuild, (Reference(self.storage), *self.view)


class Reference:
    def __init__(self, storage):
        self.storage = storage


class Writer(pickle.Pickler):
    def persistent_id(self, value):
        return value.storage if isinstance(value, Reference) else None


def pickled(value) -> bytes:
    buffer = io.BytesIO()
    Writer(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def write_zip(path, value, storages, byteorder=b"little"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(value))
        archive.writestr("archive/byteorder", byteorder)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)


def write_stream(path, value, storages):
    parts = [pickled(part) for part in (MAGIC, 1001, {"little_endian": True}, value, list(storages))]
    for data, size in storages.values():
        parts.append(np.int64(size).tobytes() + data)
    path.write_bytes(b"".join(parts))


def test_tensors_of_both_formats(tmp_path, torch_names):
    """Contiguous, transposed and shared views, half precision, numbers and text."""
    numbers = np.arange(12, dtype=np.float32)
    half = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    whole = Tensor(torch_names, "FloatStorage", "0", 12, 0, (3, 4), (4, 1))
    turned = Tensor(torch_names, "FloatStorage", "0", 12, 4, (4, 2), (1, 4))
    small = Tensor(torch_names, "BFloat16Storage", "1", 2, 0, (2,), (1,))
    value = {"whole": whole, "list": [turned, small], "step": 7, "name": "é"}
    write_zip(tmp_path / "a.pth", value, {"0": numbers.tobytes(), "1": half.tobytes()})
    write_stream(tmp_path / "b.pth", value, {"0": (numbers.tobytes(), 12), "1": (half.tobytes(), 2)})
    write_zip(
        tmp_path / "c.pth",
        value,
        {"0": numbers.byteswap().tobytes(), "1": half.view("u2").byteswap().tobytes()},
        b"big",
    )
    for name in "abc":
        out = pth.read(tmp_path / f"{name}.pth")
        np.testing.assert_array_equal(out["whole"], numbers.reshape(3, 4))
        np.testing.assert_array_equal(out["list"][0], numbers[4:].reshape(2, 4).T)
        np.testing.assert_array_equal(out["list"][1].astype(np.float32), [1.5, -2.0])
        assert (out["step"], out["name"]) == (7, "é")


def test_checkpoints_of_the_original(reference):
    """Both spellings of the NumPy scalar that its learning rate is."""
    spellings = set()
    for name in ("ve_cifar10_ncsnpp_continuous", "vp_cifar10_ddpmpp_continuous"):
        arrays, entry = reference(f"checkpoints/{name}.npz")
        checkpoint = pth.read(REFERENCE / entry["checkpoint"])
        assert sorted(checkpoint) == ["ema", "model", "optimizer", "step"]
        assert checkpoint["step"] == entry["content"]["step"]
        assert len(checkpoint["model"]) == entry["content"]["model tensors"]
        assert len(checkpoint["ema"]["shadow_params"]) == len(arrays["ema_order"])
        rate = checkpoint["optimizer"]["param_groups"][0]["lr"]
        assert rate == pytest.approx(entry["content"]["optimizer lr"])
        spellings.add(entry["content"]["module of the pickled numpy scalar"])
    assert spellings == {"numpy.core.multiarray", "numpy._core.multiarray"}


class Hostile:
    """Would create a file where it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path):
    target = tmp_path / "created"
    write_zip(tmp_path / "a.pth", {"model": Hostile(target)}, {})
    write_stream(tmp_path / "b.pth", {"model": Hostile(target)}, {})
    (tmp_path / "c.pth").write_bytes(pickle.dumps(Hostile(target)))
    for name in "abc":
        with pytest.raises(pth.NotACheckpoint, match=r"\.open.*nothing was executed"):
            pth.read(tmp_path / f"{name}.pth")
        assert not target.exists()
    pickle.loads(pickle.dumps(Hostile(target)))  # it is as hostile as it says
    assert target.exists()


def test_files_cut_off_anywhere_are_refused(tmp_path, torch_names):
    numbers = np.arange(12, dtype=np.float32)
    value = {"x": Tensor(torch_names, "FloatStorage", "0", 12, 0, (12,), (1,))}
    write_zip(tmp_path / "zip", value, {"0": numbers.tobytes()})
    write_stream(tmp_path / "stream", value, {"0": (numbers.tobytes(), 12)})
    for kind in ("zip", "stream"):
        whole = (tmp_path / kind).read_bytes()
        for share in (0.0, 0.1, 0.5, 0.9, 0.99):
            (tmp_path / "cut").write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(pth.NotACheckpoint, match="cut"):
                pth.read(tmp_path / "cut")


def test_views_that_leave_their_storage_are_refused(tmp_path, torch_names):
    for offset, shape, strides in ((1, (12,), (1,)), (0, (4, 4), (4, 1)), (0, (10**9,), (0,)), (0, (2,), (-1,))):
        view = Tensor(torch_names, "FloatStorage", "0", 12, offset, shape, strides)
        write_zip(tmp_path / "a.pth", {"x": view}, {"0": bytes(48)})
        with pytest.raises(pth.NotACheckpoint, match="outside its storage"):
            pth.read(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x88\xa4step\x05", "msgpack"),
        (b"just text, no checkpoint", "neither a zip archive nor a pickle"),
        (pickle.dumps({"a": 1}), "not one of PyTorch's"),
    ],
)
def test_other_formats_are_named(tmp_path, data, words):
    (tmp_path / "file.pth").write_bytes(data)
    with pytest.raises(pth.NotACheckpoint, match=words):
        pth.read(tmp_path / "file.pth")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(pth.NotACheckpoint, match="no file"):
        pth.read(tmp_path / "none.pth")
    with pytest.raises(pth.NotACheckpoint, match="folder"):
        pth.read(tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(pth.NotACheckpoint, match=r"data\.pkl"):
        pth.read(tmp_path / "other.zip")
