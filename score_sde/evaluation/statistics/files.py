"""Files of statistics: our own .npz, and those of pytorch-fid, EDM, ADM and EDM2.

    ours             mean, scatter, n, kept, index, label, about
    pytorch-fid, EDM mu, sigma
    ADM              mu, sigma, and mu_s, sigma_s of the spatial features
    EDM2 (.pkl)      {"fid": {"mu", "sigma"}, "fd_dinov2": {...}}; only NumPy arrays are read, nothing is executed

The others do not state n, and nothing of how the features were made.
"""

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from score_sde.checkpoints import hash_of
from score_sde.checks import require
from score_sde.evaluation.metrics.moments import Moments
from score_sde.evaluation.statistics.statistics import Statistics
from score_sde.files import written_whole

MODULES = ("numpy", *(f"numpy.{core}.{name}" for core in ("core", "_core") for name in ("multiarray", "numeric")))
ALLOWED = {
    (module, name) for module in MODULES for name in ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer")
}
"""What a pickle of dictionaries of NumPy arrays refers to; anything else could execute code."""
FOREIGN = 10**6
"""The n of a file that states none: so large that n/(n − 1) is 1. Its covariance is taken as it is."""


def write(file: str | Path, statistics: Statistics, form: Literal["ours", "pytorch-fid"] = "ours") -> Path:
    """Write a file, atomically. The form "pytorch-fid" is also EDM's and can be read by most programs."""
    file, moments = Path(file), statistics.moments
    require(file.suffix == ".npz", f"{file} must end with .npz")
    require(form in ("ours", "pytorch-fid"), f"form = {form!r}; allowed: 'ours', 'pytorch-fid'")
    arrays: dict[str, Any] = {"mu": moments.mean, "sigma": moments.covariance}
    if form == "ours":
        optional = {name: getattr(statistics, name) for name in ("kept", "index", "label")}
        arrays = {"n": moments.n, "mean": moments.mean, "scatter": moments.scatter}
        arrays |= {name: value for name, value in optional.items() if value is not None}
        arrays["about"] = json.dumps(dict(statistics.about))
    with written_whole(file) as part, part.open("wb") as stream:
        np.savez(stream, **arrays)
    return file


def read(file: str | Path) -> Statistics:
    """Read a file of any of these forms. FILE:ENTRY names one of several statistics in it.

    In ADM's files "spatial" are those for sFID; in EDM2's "fid" and "fd_dinov2".
    """
    file, entry = _and_entry(file)
    require(file.is_file(), f"{file} does not exist, or is no file")
    require(file.suffix in (".npz", ".pkl"), f"{file} ends with {file.suffix!r}; statistics are .npz, or EDM2's .pkl")
    try:
        arrays = _unpickled(file) if file.suffix == ".pkl" else _arrays(file)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{file} cannot be read as statistics: {error}") from error
    if "scatter" in arrays:
        return _ours(file, arrays)
    return _foreign(file, arrays, entry)


def is_statistics(file: str | Path) -> bool:
    """Whether a file, or FILE:ENTRY, holds statistics, rather than images."""
    file, _ = _and_entry(file)
    if file.suffix == ".pkl":
        return True
    if file.suffix != ".npz" or not file.is_file():
        return False
    with np.load(file) as arrays:
        return "scatter" in arrays or {"mu", "sigma"} <= set(arrays)


def _and_entry(file: str | Path) -> tuple[Path, str | None]:
    name, colon, entry = str(file).rpartition(":")
    whole = not colon or Path(file).exists() or Path(name).suffix not in (".npz", ".pkl")
    return (Path(file), None) if whole else (Path(name), entry)


def _ours(file: Path, arrays: Mapping[str, Any]) -> Statistics:
    require("about" in arrays, f"{file} is damaged: it has no entry 'about'")
    about = json.loads(str(arrays["about"]))
    moments = Moments(int(arrays["n"]), arrays["mean"], arrays["scatter"])
    return Statistics(moments, arrays.get("kept"), arrays.get("index"), arrays.get("label"), about)


def _foreign(file: Path, arrays: Mapping[str, Any], entry: str | None) -> Statistics:
    several = {name: value for name, value in arrays.items() if isinstance(value, Mapping)}
    if several:
        require(
            entry in several or (entry is None and len(several) == 1),
            f"{file} holds several statistics{'' if entry is None else f', but no {entry!r}'}; give one of "
            + ", ".join(f"{file.name}:{name}" for name in several),
        )
        arrays = several[entry] if entry is not None else next(iter(several.values()))
    require(bool(several) or entry in (None, "spatial"), f"{file} holds a single set of statistics, and no {entry!r}")
    names = ("mu_s", "sigma_s") if entry == "spatial" else ("mu", "sigma")
    require(
        set(names) <= set(arrays),
        f"{file} is no file of statistics: it has no {' and no '.join(names)}, only {', '.join(map(str, arrays))}",
    )
    mean, covariance = (np.asarray(arrays[name], np.float64) for name in names)
    require(
        mean.ndim == 1 and covariance.shape == (len(mean), len(mean)),
        f"{file}: {names[0]} has shape {mean.shape} and {names[1]} {covariance.shape}; allowed: (d,) and (d, d)",
    )
    require(bool(np.isfinite(mean).all() and np.isfinite(covariance).all()), f"{file} holds NaN or infinite numbers")
    about = {
        "data": f"{file}:{entry}" if entry else str(file),
        "data_hash": hash_of({"mean": mean, "covariance": covariance}),
    }
    return Statistics(Moments(FOREIGN, mean, covariance * (FOREIGN - 1)), about=about)


def _arrays(file: Path) -> dict[str, Any]:
    """All arrays but ADM's images (arr_0), which may be gigabytes."""
    with np.load(file) as stored:
        return {name: stored[name] for name in stored if name != "arr_0"}


def _unpickled(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        content = _NumpyOnly(stream).load()
    require(isinstance(content, dict), f"it holds a {type(content).__name__}, not a dictionary of statistics")
    return content


class _NumpyOnly(pickle.Unpickler):
    """A pickle of dictionaries of NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(
                f"it refers to {module}.{name}, which loading would execute; only NumPy arrays are allowed. Save mu and "
                "sigma with numpy.savez where the file comes from"
            )
        return super().find_class(module, name)
