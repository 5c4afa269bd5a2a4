"""Storage of one checkpoint with Orbax: written atomically, and verified by hashes.

    FOLDER/STEP/         an Orbax checkpoint of named groups of named arrays, with manifest.json: a JSON dictionary
                         with a BLAKE2b hash of each file and further metadata
    FOLDER/.STEP.part    a checkpoint in progress, renamed once it contains manifest.json
    FOLDER/damaged/      checkpoints whose files differ from what was written

Orbax itself detects a missing file but not a flipped bit, hence the hashes.
"""

import hashlib
import json
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array
from orbax.checkpoint import v1 as ocp

from score_sde.devices import wait_for_all

Groups = Mapping[str, Mapping[str, Array]]
MANIFEST = "manifest.json"


class DamagedError(ValueError):
    """A checkpoint whose files are missing, or differ from what was written."""


def save_arrays(path: Path, groups: Groups, about: Mapping[str, Any] | None = None) -> None:
    """Write a complete checkpoint."""
    writing = Writing(path, groups, about)
    writing.wait()


class Writing:
    """A checkpoint that is being written in the background.

    The arrays are copied before the constructor returns, so they may be donated to the next step. With several hosts,
    all must call this; each writes its part.
    """

    def __init__(self, path: Path, groups: Groups, about: Mapping[str, Any] | None = None):
        self.path, self.error = path.resolve(), None
        self._part = self.path.with_name(f".{path.name}.part")
        arrays: Any = {name: dict(group) for name, group in groups.items()}
        if jax.default_backend() == "cpu":
            arrays = jax.tree.map(jnp.copy, arrays)  # elsewhere Orbax copies them to the host itself
        self._about = dict(about or {})
        self._response: Any = None
        try:
            if jax.process_index() == 0:
                shutil.rmtree(self._part, ignore_errors=True)
                self.path.parent.mkdir(parents=True, exist_ok=True)
            wait_for_all(f"begin {self.path.parent.name}/{self.path.name}")
            self._response = ocp.save_async(self._part, arrays)
        except Exception as error:
            self.error = error
        self._thread = threading.Thread(target=self._finish, name=f"checkpoint {path.name}")
        self._thread.start()

    def wait(self) -> None:
        """Wait for the end; raises any error."""
        self._thread.join()
        if self.error is not None:
            raise self.error

    def done(self) -> bool:
        """Whether it is written or has failed."""
        return not self._thread.is_alive()

    def _finish(self) -> None:
        try:
            if self.error is not None:
                raise self.error
            self._response.result()
            if jax.process_index() == 0:
                manifest = {**self._about, "hashes": _hashes(self._part)}
                with (self._part / MANIFEST).open("w") as file:
                    json.dump(manifest, file, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(self._part, self.path)
        except Exception as error:
            self.error = error
            if jax.process_index() == 0:
                shutil.rmtree(self._part, ignore_errors=True)


def steps(folder: Path) -> list[int]:
    """The steps of the finished checkpoints in a folder, in order."""
    return sorted(int(path.name) for path in Path(folder).glob("*") if path.is_dir() and path.name.isdigit())


def manifest(path: Path) -> dict[str, Any]:
    """The metadata of a checkpoint."""
    try:
        return json.loads((path / MANIFEST).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise DamagedError(f"the checkpoint {path} is half-written or damaged: {MANIFEST}: {error}") from error


def check(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint; raises a DamagedError unless all its files match their hashes."""
    known, found = manifest(path), _hashes(path)
    wrong = sorted(name for name in known["hashes"] if found.get(name) != known["hashes"][name])
    if wrong:
        missing = [name for name in wrong if name not in found]
        what = f"{missing[0]} is missing" if missing else f"{wrong[0]} is not what was written"
        raise DamagedError(f"the checkpoint {path} is damaged: {what}; use another step")
    return known


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array, by "group/name"."""
    return {
        f"{group}/{name}": tuple(leaf.shape) for group, arrays in _stored(path).items() for name, leaf in arrays.items()
    }


def load_arrays(
    path: Path, groups: tuple[str, ...] | None = None, sharding: Callable[[str, str], Any] | None = None
) -> dict[str, dict[str, Array]]:
    """Read the groups of a verified checkpoint. ``sharding(group, name)``: the sharding of an array."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    stored = _stored(path)
    try:
        wanted = {
            group: {
                name: jax.ShapeDtypeStruct(
                    leaf.shape, leaf.dtype, sharding=here if sharding is None else sharding(group, name)
                )
                for name, leaf in arrays.items()
            }
            if groups is None or group in groups
            else dict.fromkeys(arrays, ocp.PLACEHOLDER)
            for group, arrays in stored.items()
        }
        loaded: Any = ocp.load(path.resolve(), wanted)
    except Exception as error:
        raise _damaged(path, error) from error
    return {group: arrays for group, arrays in loaded.items() if groups is None or group in groups}


def newest_whole(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest undamaged checkpoint and its manifest. Damaged ones are moved aside with a warning."""
    for step in reversed(steps(folder)):
        path = folder / str(step)
        try:
            return path, check(path)
        except DamagedError as error:
            aside = _free_name(folder / "damaged" / path.name)
            warnings.warn(f"{error}. It is set aside as {aside}, and the one before it is used", stacklevel=2)
            if jax.process_index() == 0:
                aside.parent.mkdir(exist_ok=True)
                os.rename(path, aside)
    return None


def clean(folder: Path) -> None:
    """Remove the incomplete checkpoints of a killed run."""
    for part in folder.glob(".*.part*"):
        shutil.rmtree(part, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a checkpoint. It is renamed first, so a partial removal never looks like a checkpoint."""
    doomed = path.with_name(f".{path.name}.part.old")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _stored(path: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        return ocp.metadata(path.resolve()).metadata
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DamagedError:
    """Orbax and TensorStore raise many kinds of errors for a damaged folder."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DamagedError(f"the checkpoint {path} is damaged or half-written ({reason}); use another step")


def _hashes(folder: Path) -> dict[str, str]:
    """The BLAKE2b hash of each file under a folder, by relative path."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name != MANIFEST:
            with file.open("rb") as stream:
                found[name] = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return found


def _free_name(path: Path) -> Path:
    names = [path, *(path.with_name(f"{path.name}.{k}") for k in range(1, 1000))]
    return next(name for name in names if not name.exists())
