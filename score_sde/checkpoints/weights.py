"""The weights in a workdir, from snapshots or from states for resuming."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from score_sde.checkpoints import store
from score_sde.checkpoints.states import CHECKPOINTS, FORMAT, SNAPSHOTS
from score_sde.checkpoints.store import Groups


def steps(workdir: str | Path) -> list[int]:
    """The steps whose weights are in a workdir, in order."""
    return sorted({*store.steps(Path(workdir) / SNAPSHOTS), *store.steps(Path(workdir) / CHECKPOINTS)})


def snapshots(workdir: str | Path) -> list[int]:
    """The steps of the snapshots, in order."""
    return store.steps(Path(workdir) / SNAPSHOTS)


def find(workdir: str | Path, step: int | None = None) -> tuple[Path, dict[str, Any]]:
    """The path and manifest of the weights of a step; by default the newest undamaged ones.

    No files are moved: training may be running there.
    """
    workdir, there = Path(workdir), steps(workdir)
    if not there:
        raise ValueError(f"{workdir} has no checkpoint yet; has its training saved one?")
    if step is not None and step not in there:
        raise ValueError(f"{workdir} has no checkpoint of step {step}; it has {', '.join(map(str, there))}")
    problem: ValueError | None = None
    for each in reversed(there) if step is None else [step]:
        for folder in (SNAPSHOTS, CHECKPOINTS):
            path = workdir / folder / str(each)
            if path.exists():
                try:
                    return path, store.check(path)
                except store.DamagedError as error:
                    problem = error
        if step is None:
            warnings.warn(f"{problem}; the one before it is used", stacklevel=2)
    assert problem is not None
    raise problem


def save(workdir: str | Path, step: int, groups: Groups, about: Mapping[str, Any]) -> Path:
    """Write a complete snapshot."""
    path = Path(workdir) / SNAPSHOTS / str(step)
    store.save_arrays(path, groups, {"format": FORMAT, "step": step, "weights": list(groups), **about})
    return path


def hash_of(arrays: Mapping[str, ArrayLike]) -> str:
    """A hash of the names, dtypes, shapes and bytes of arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        value = np.asarray(arrays[name])
        digest.update(f"{name} {value.dtype} {value.shape};".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
