"""Reading PyTorch files without PyTorch, and without executing their content.

A .pth file is a pickle of references to tensors, together with the bytes of the tensors: a zip archive since
PyTorch 1.6, a single stream before. A pickle may call any Python function. Here every name is looked up in a short
list of harmless replacements, and any other name is an error: nothing is imported or called.
"""

import collections
import dataclasses
import io
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

DTYPES: dict[str, Any] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


_MSGPACK_MAPS = [bytes([first]) for first in (*range(0x81, 0x90), 0xDE, 0xDF)]


class NotACheckpoint(ValueError):
    """The file is damaged, hostile, or of another format."""


def read(path: str | Path) -> Any:
    """The content of the file, with tensors as NumPy arrays."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == b"PK\x03\x04":
                return _read_zip(file)
            return _read_stream(file, start)
    except FileNotFoundError as error:
        raise NotACheckpoint(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise NotACheckpoint(f"{path} is a folder; give the .pth file inside it") from error
    except NotACheckpoint as error:
        raise NotACheckpoint(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        reason = f"{type(error).__name__}: {error}"
        raise NotACheckpoint(
            f"{path} cannot be read as a PyTorch file ({reason}); it is damaged or cut off: compare its size with the "
            "original's and copy it again"
        ) from error


@dataclasses.dataclass(frozen=True)
class Storage:
    """The flat array of which tensors are views; ``numbers`` is available by the time a tensor needs it."""

    dtype: Any
    size: int
    numbers: Callable[[], np.ndarray]


def _read_zip(file: io.BufferedIOBase) -> Any:
    """Read an archive of NAME/data.pkl, NAME/data/KEY, and optionally NAME/byteorder."""
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise NotACheckpoint("the archive holds no data.pkl: a zip file, but not one of PyTorch's")
        root = pickles[0].removesuffix("data.pkl")
        order = ">" if root + "byteorder" in archive.namelist() and archive.read(root + "byteorder") == b"big" else "<"
        loaded: dict[str, np.ndarray] = {}

        def persistent_load(reference: tuple) -> Storage:
            kind, storage_type, key, _, size = reference
            _require(kind == "storage", f"an unknown kind of reference, {kind!r}")
            dtype = _dtype(storage_type)

            def numbers() -> np.ndarray:
                if key not in loaded:
                    loaded[key] = _numbers(archive.read(f"{root}data/{key}"), dtype, size, order)
                return loaded[key]

            return Storage(dtype, size, numbers)

        return _materialise(_Unpickler(io.BytesIO(archive.read(pickles[0])), persistent_load).load())


def _read_stream(file: io.BufferedIOBase, start: bytes) -> Any:
    """Read a sequence of pickles: a magic number, a version, the machine, the object, its keys; then the bytes."""
    if start[:1] in _MSGPACK_MAPS:
        raise NotACheckpoint(
            "this looks like a JAX (msgpack) checkpoint of the original, which is not supported; its authors publish "
            "the same models as PyTorch files (.pth)"
        )
    _require(start[:1] == b"\x80", "this is no PyTorch file (neither a zip archive nor a pickle)")
    views: dict[str, dict[str, np.ndarray]] = {}
    sizes: dict[str, tuple[Any, int]] = {}

    def persistent_load(reference: tuple) -> Storage:
        kind, storage_type, key, _, size, *_ = reference
        _require(kind == "storage", f"an unknown kind of reference, {kind!r}")
        sizes[key] = _dtype(storage_type), size
        here = views.setdefault(key, {})
        return Storage(_dtype(storage_type), size, lambda: here["numbers"])

    magic = _Unpickler(file, persistent_load).load()
    _require(magic == 0x1950A86A20F9469CFC6C, "this is a pickle, but not one of PyTorch's")
    for _ in range(2):
        _Unpickler(file, persistent_load).load()
    result = _Unpickler(file, persistent_load).load()
    for key in _Unpickler(file, persistent_load).load():
        dtype, size = sizes[key]
        stored = int(np.frombuffer(file.read(8), "<i8")[0])
        _require(stored == size, f"storage {key} holds {stored} numbers, {size} were announced")
        views[key]["numbers"] = _numbers(file.read(size * np.dtype(dtype).itemsize), dtype, size, "<")
    return _materialise(result)


def _numbers(data: bytes, dtype: Any, size: int, order: str) -> np.ndarray:
    kind = np.dtype(dtype)
    _require(len(data) == size * kind.itemsize, f"{len(data)} bytes where {size} numbers of {kind} were announced")
    if order == ">" and kind.itemsize > 1:
        return np.frombuffer(data, kind).byteswap()
    return np.frombuffer(data, kind)


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage: element (i, j, …) is at offset + i stride_0 + j stride_1 + …"""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        inside = min((self.offset, *self.shape, *self.strides)) >= 0 and last < self.storage.size
        count = math.prod(self.shape)
        empty = count == 0
        _require(
            empty or (inside and count <= self.storage.size),
            f"a tensor of shape {self.shape} reaches outside its storage",
        )
        if empty:
            return np.zeros(self.shape, self.storage.dtype)
        flat = self.storage.numbers()
        strides = [stride * flat.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides).copy()


def _materialise(value: Any) -> Any:
    """The value with every tensor replaced by an array."""
    if isinstance(value, _Tensor):
        return value.array()
    if isinstance(value, dict):
        return type(value)((_materialise(k), _materialise(v)) for k, v in value.items())
    if isinstance(value, list | tuple | set):
        return type(value)(map(_materialise, value))
    return value


class _Unpickler(pickle.Unpickler):
    """An unpickler with a list of allowed names, each mapped to our own replacement."""

    def __init__(self, file: io.BufferedIOBase, persistent_load: Callable[[tuple], Storage]):
        super().__init__(file, encoding="latin-1")
        self._persistent_load = persistent_load

    def persistent_load(self, reference: Any) -> Storage:
        return self._persistent_load(reference)

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in DTYPES:
            return name
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        raise NotACheckpoint(
            f"the file asks for {module}.{name}, which a checkpoint of score_sde has no use for; nothing was executed. "
            "If the file is from a source that you trust, load it with PyTorch and save the plain tensors"
        )


def _rebuild_tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


@dataclasses.dataclass
class _NumpyDtype:
    """numpy.dtype("f8", False, True) and its state, of which only the byte order matters."""

    kind: str
    order: str = "<"

    def __init__(self, kind: str, *_: Any):
        self.kind = kind

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1] if state[1] in "<>" else "<"


def _numpy_scalar(dtype: _NumpyDtype, data: bytes | str) -> Any:
    """A number such as the learning rate, which is a NumPy scalar after the original's warm-up."""
    _require(dtype.kind[:1] in "fiub" and dtype.kind[1:].isdigit(), f"a NumPy scalar of type {dtype.kind!r}")
    data = data.encode("latin-1") if isinstance(data, str) else data
    return np.frombuffer(data, np.dtype(dtype.order + dtype.kind))[0]


def _encode(text: str, encoding: str = "latin-1") -> bytes:
    """Bytes, as stored by pickle protocol 2."""
    return text.encode("latin-1" if encoding in ("latin1", "latin-1") else "ascii")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): lambda *_: {},
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("numpy", "dtype"): _NumpyDtype,
    ("numpy.core.multiarray", "scalar"): _numpy_scalar,  # NumPy 1, as in the published checkpoints
    ("numpy._core.multiarray", "scalar"): _numpy_scalar,  # NumPy 2
    ("_codecs", "encode"): _encode,
}


def _dtype(storage_type: Any) -> Any:
    _require(isinstance(storage_type, str) and storage_type in DTYPES, f"an unknown storage type, {storage_type!r}")
    return DTYPES[storage_type]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise NotACheckpoint(message)
