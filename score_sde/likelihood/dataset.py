"""Bits per dimension of a whole split: every example, several dequantisations, and it goes on where it was stopped.

Repeat r of example i depends on (key, r, i) alone. What is done stands in an .npz beside the result and is written
whole, so that a run that was killed at any time ends with the same bits as one that was not.
"""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from score_sde import devices
from score_sde.checks import require
from score_sde.data.batches import take
from score_sde.data.scaling import DataScaling
from score_sde.denoiser import Condition, Denoiser
from score_sde.files import written_whole
from score_sde.likelihood.data import of_data
from score_sde.progress import Progress

FIELDS = ("per_dim", "nfe", "failed_at", "reached")


def evaluate(
    model: Denoiser,
    source: Any,
    key: Key[Array, ""],
    scaling: DataScaling,
    file: str | Path | None = None,
    *,
    repeats: int = 5,
    batch_size: int = 64,
    condition: Callable[[dict], Condition] | None = None,
    save_every: float = 60.0,
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """The mean bits per dimension of a source (nats where it is continuous), as a dictionary that is also the JSON.

    ``file``: where the JSON goes, its .npz beside it, written every ``save_every`` seconds; None keeps nothing.
    ``condition``: a function of the examples, such as ``lambda examples: {"label": examples["label"]}``.
    ``options``: those of ``ss.log_likelihood``. The last batch is filled up and cut, the batch lies over all devices.

    "mean" is over images, each the mean of its repeats; "standard_error" is that of "mean" over images, the noise of
    dequantisation and probes included. An evaluation that failed is left out of the mean and counted in "failures";
    "failed" says which.
    """
    require(repeats >= 1, f"repeats = {repeats}; at least 1 is needed")
    require(batch_size >= 1, f"batch_size = {batch_size}; it must be at least 1")
    require(len(source) > 0, f"{source.name} has no examples")
    settings = _settings(model, source, key, scaling, repeats, batch_size, options)
    state = _State(None if file is None else Path(file).with_suffix(".npz"), settings, (repeats, len(source)))
    mesh = devices.mesh()
    size = devices.round_up(min(batch_size, len(source)), mesh)
    split, everywhere = devices.divided(mesh), devices.whole(mesh)
    model = jax.device_put(model, everywhere)
    bar = Progress(repeats * len(source), enabled=progress)
    saved = time.monotonic()
    for repeat in range(repeats):
        for first in range(0, len(source), size):
            rows = slice(first, min(first + size, len(source)))
            count = rows.stop - first
            if not state.done[repeat, rows].all():
                index = np.minimum(np.arange(first, first + size), len(source) - 1)
                examples = take(source, index)
                given = None if condition is None else condition(examples)
                data, given, start = jax.device_put((np.asarray(examples["data"]), given, index), split)
                per_dim, ll = of_data(
                    model, data, jax.random.fold_in(key, repeat), scaling, given, start=start, **options
                )
                state.put(repeat, rows, (per_dim, ll.nfe, ll.failed_at, ll.reached), count)
                if time.monotonic() - saved >= save_every:
                    state.save()
                    saved = time.monotonic()
            bar.advance(count)
    bar.close()
    state.save()
    result = _summary(state, settings)
    if file is not None:
        with written_whole(Path(file).with_suffix(".json")) as part:
            part.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _summary(state: "_State", settings: dict) -> dict[str, Any]:
    per_dim, nfe = state.values["per_dim"], state.values["nfe"]
    fine = state.values["failed_at"] < 0
    kept = fine.any(axis=0)
    images = np.where(fine, per_dim, 0).sum(axis=0)[kept] / fine.sum(axis=0)[kept]
    n = len(images)
    failed = [
        {"repeat": int(r), "image": int(i), "t": float(state.values["reached"][r, i])} for r, i in np.argwhere(~fine)
    ]
    return {
        "unit": "nats/dim" if settings["scaling"]["levels"] is None else "bits/dim",
        "mean": float(images.mean()) if n else None,
        "standard_error": float(images.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
        "images": n,
        "repeats": settings["repeats"],
        "repeat_means": [float(row[ok].mean()) if ok.any() else None for row, ok in zip(per_dim, fine, strict=True)],
        "evaluations": {"mean": float(nfe.mean()), "max": int(nfe.max())},
        "failures": len(failed),
        "failed": failed[:100],
        "settings": settings,
    }


class _State:
    """What is done so far, in memory and on disk."""

    def __init__(self, file: Path | None, settings: dict, shape: tuple[int, int]):
        self.file, self.settings = file, settings
        self.done = np.zeros(shape, bool)
        self.values = {"per_dim": np.full(shape, np.nan), "reached": np.full(shape, np.nan, np.float32)}
        self.values |= {"nfe": np.zeros(shape, np.int64), "failed_at": np.zeros(shape, np.int64)}
        if file is not None and file.exists():
            self._load(file)

    def _load(self, file: Path) -> None:
        try:
            with np.load(file) as arrays:
                saved = dict(arrays)
            before = json.loads(str(saved.pop("settings")))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{file} is no unfinished evaluation ({error}); remove it, or give another file"
            ) from error
        now = json.loads(json.dumps(self.settings))
        differ = [
            f"{name} = {before.get(name)!r} then, {now.get(name)!r} now"
            for name in now
            if before.get(name) != now[name]
        ]
        require(
            not differ,
            f"{file} holds an evaluation with other settings: {'; '.join(differ)}. Give another file, or remove it",
        )
        self.done = saved.pop("done")
        self.values = saved

    def put(self, repeat: int, rows: slice, values: tuple, count: int) -> None:
        for name, value in zip(FIELDS, values, strict=True):
            self.values[name][repeat, rows] = np.asarray(value)[:count]
        self.done[repeat, rows] = True

    def save(self) -> None:
        if self.file is not None:
            with written_whole(self.file) as part:
                np.savez(part, done=self.done, settings=json.dumps(self.settings), **self.values)  # type: ignore[arg-type]


def _settings(model, source, key, scaling: DataScaling, repeats: int, batch_size: int, options: dict) -> dict[str, Any]:
    """All that the result depends on, in words, numbers and two fingerprints."""
    plain = (bool, int, float, str, type(None))
    return {
        "source": source.name,
        "images": len(source),
        "shape": list(source.shape),
        "sde": repr(model.sde),
        "model": _fingerprint(model),
        "key": np.asarray(jax.random.key_data(key)).ravel().tolist(),
        "scaling": {
            "levels": scaling.levels,
            "range": list(scaling.range),
            "log_volume_per_dim": scaling.log_volume_per_dim,
            "trained_dequantised": scaling.dequantize,
        },
        "repeats": repeats,
        "batch_size": batch_size,
        "options": {
            name: value if isinstance(value, plain) else repr(value) for name, value in sorted(options.items())
        },
    }


def _fingerprint(model: Denoiser) -> str:
    """A hash of the model's arrays."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(model):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]
