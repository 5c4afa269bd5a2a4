"""Safetensors files: named arrays and a dictionary of text, without executable content."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from score_sde.checks import require, some_of
from score_sde.files import written_whole

Precision = Literal["float32", "float16"]


def write(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    *,
    precision: Precision | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write named arrays and a dictionary of text atomically.

    ``precision``: the dtype of floating-point arrays in the file; None keeps theirs. Integers and bools are unchanged.
    A number too large for float16 (above 65504) is an error, because it would become infinite.
    """
    require(
        precision is None or precision in get_args(Precision),
        f"precision = {precision!r}; allowed: {', '.join(get_args(Precision))}, or None to keep the arrays' types",
    )
    metadata = dict(metadata or {})
    wrong = [key for key, value in metadata.items() if not (isinstance(key, str) and isinstance(value, str))]
    require(not wrong, f"metadata[{', '.join(map(repr, wrong))}]: keys and values are text; use json.dumps")
    stored = {name: np.asarray(_stored(name, array, precision), order="C") for name, array in arrays.items()}
    other = [f"{name!r} ({array.dtype})" for name, array in stored.items() if array.dtype.kind not in "biufV"]
    require(not other, f"{some_of(other, 3)}: the file can hold arrays of floats, integers and bools only")
    path = Path(path)
    with written_whole(path) as part:
        save_file(stored, part, metadata=metadata)
    return path


def read(path: str | Path, *, precision: Precision | None = "float32") -> dict[str, np.ndarray]:
    """The arrays of a file, by default floating-point ones as float32; None keeps the file's dtypes."""
    with _opened(path) as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return {name: _stored(name, array, precision) for name, array in arrays.items()}


def read_metadata(path: str | Path) -> dict[str, str]:
    """The dictionary of text; does not read the arrays."""
    with _opened(path) as file:
        return file.metadata() or {}


def is_floating(array: np.ndarray) -> bool:
    """Whether an array holds floats, including bfloat16."""
    return np.issubdtype(array.dtype, np.floating) or array.dtype == ml_dtypes.bfloat16


def _stored(name: str, array: np.ndarray, precision: Precision | None) -> np.ndarray:
    array = np.asarray(array)
    if precision is None or not is_floating(array) or array.dtype == np.dtype(precision):
        return array
    with np.errstate(over="ignore"):
        cast = array.astype(precision)
    lost = int((np.isfinite(array) & ~np.isfinite(cast)).sum())
    require(lost == 0, f"{name} holds {lost} numbers too large for {precision}; use precision = 'float32' or None")
    return cast


def _opened(path: str | Path):
    path = Path(path)
    require(path.is_file(), f"{path} does not exist, or is no file; give a .safetensors file")
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(
            f"{path} cannot be read as a safetensors file ({error}); it is damaged or cut off: compare its size with the "
            "original's and copy it again"
        ) from error
