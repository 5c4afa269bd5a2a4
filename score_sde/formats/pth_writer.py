"""Writing PyTorch files without PyTorch, as the zip archive that it reads since version 1.6.

The archive contains the bytes of each array, and a pickle in which a tensor is the call

    torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, OrderedDict())

whose storage is a reference to those bytes. Python's own pickler would have to import torch to write its names, so the
dozen required opcodes (protocol 2) are written here.
"""

import math
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from score_sde.files import written_whole
from score_sde.formats.pth import DTYPES

STORAGES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


def write(path: str | Path, value: Any) -> Path:
    """Write dictionaries, lists, tuples, text, numbers and NumPy arrays, the arrays as tensors, for ``torch.load``.

    The file is written atomically. A ValueError names the place of any other value.
    """
    arrays: list[np.ndarray] = []
    pickled = pickle.PROTO + b"\x02" + _code(value, "the value", arrays) + pickle.STOP
    with written_whole(Path(path)) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays):
            archive.writestr(f"archive/data/{key}", array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        archive.writestr("archive/version", "3\n")
    return Path(path)


def _code(value: Any, place: str, arrays: list[np.ndarray]) -> bytes:
    """The opcodes that push the value onto the unpickler's stack; arrays go to ``arrays``."""
    if value is None:
        return pickle.NONE
    if isinstance(value, bool | np.bool_):
        return pickle.NEWTRUE if value else pickle.NEWFALSE
    if isinstance(value, int | np.integer):
        digits = pickle.encode_long(int(value))
        return pickle.LONG1 + bytes([len(digits)]) + digits
    if isinstance(value, float | np.floating):
        return pickle.BINFLOAT + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
    if isinstance(value, dict):
        items = b"".join(
            _code(key, f"the key {key!r}", arrays) + _code(item, f"{place}[{key!r}]", arrays)
            for key, item in value.items()
        )
        return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
    if isinstance(value, list | tuple):
        items = b"".join(_code(item, f"{place}[{i}]", arrays) for i, item in enumerate(value))
        if isinstance(value, tuple):
            return pickle.MARK + items + pickle.TUPLE
        return pickle.EMPTY_LIST + pickle.MARK + items + pickle.APPENDS
    if isinstance(value, np.ndarray) and value.dtype.newbyteorder("=") in STORAGES:
        return _tensor(value, arrays)
    what = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise ValueError(
        f"{place} is {what}; a .pth file can be written of dictionaries, lists, tuples, text, numbers and NumPy arrays "
        f"of {', '.join(map(str, STORAGES))}"
    )


def _tensor(array: np.ndarray, arrays: list[np.ndarray]) -> bytes:
    key = str(len(arrays))
    arrays.append(array)
    storage = _name("torch", STORAGES[array.dtype.newbyteorder("=")])
    size = _code(array.size, key, [])
    reference = pickle.MARK + _code("storage", key, []) + storage + _code(key, key, []) + _code("cpu", key, []) + size
    strides = tuple(math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim))  # in elements, row-major
    view = b"".join(_code(part, key, []) for part in (0, array.shape, strides, False))
    hooks = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    arguments = pickle.MARK + reference + pickle.TUPLE + pickle.BINPERSID + view + hooks + pickle.TUPLE
    return _name("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()
