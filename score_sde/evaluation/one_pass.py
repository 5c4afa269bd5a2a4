"""One resumable pass over examples or samples that feeds several evaluators.

The progress of each evaluator is in a file that is written atomically, after every batch where that costs little: a pass
that was killed gives bitwise the same result as one that was not, and adding an evaluator later does not repeat the others.
"""

import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from score_sde import devices, parameters, plots
from score_sde.checkpoints import hash_of
from score_sde.checks import require
from score_sde.evaluation.evaluator import Batch, Evaluator, State, Subject
from score_sde.evaluation.stream import Stream
from score_sde.files import written_whole
from score_sde.progress import Progress, compiling
from score_sde.randomness import check_key


def evaluate(
    subject: Subject,
    evaluators: Mapping[str, Evaluator],
    stream: Stream,
    key: Key[Array, ""],
    file: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    save_every: float = 60.0,
    progress: bool = True,
) -> dict[str, dict[str, Any]]:
    """The result of each evaluator, as dictionaries that also go into the JSON ``file``.

    Results of earlier passes stay in the file. Progress is stored in .npz files next to it, at the latest every
    ``save_every`` seconds; without a file nothing is stored. ``settings``: further values that the results depend on;
    stored progress is resumed only if its settings are equal. With several hosts, all call this, and the first writes.
    """
    file = None if file is None else Path(file)
    files = {name: _beside(file, name) for name in evaluators}
    works = _passed(subject, evaluators, stream, key, files, settings or {}, save_every, progress)
    results = _results(works, subject, file) if jax.process_index() == 0 else {}
    devices.wait_for_all("results are written")
    return results


def final_state(
    subject: Subject,
    evaluator: Evaluator,
    stream: Stream,
    key: Key[Array, ""],
    file: str | Path | None = None,
    *,
    progress: bool = True,
) -> State:
    """The state of one evaluator at the end of a pass, on every host. Progress is stored in ``file`` (.npz), which stays."""
    files = {"features": None if file is None else Path(file)}
    return _passed(subject, {"features": evaluator}, stream, key, files, {}, 60.0, progress)["features"].state


def _passed(
    subject: Subject,
    evaluators: Mapping[str, Evaluator],
    stream: Stream,
    key: Key[Array, ""],
    files: Mapping[str, Path | None],
    settings: Mapping[str, Any],
    save_every: float,
    progress: bool,
) -> dict[str, "_Work"]:
    """The evaluators at the end of the pass."""
    check_key(key)
    about = {
        "model": hash_of(parameters.named(subject.model)),
        "key": np.asarray(jax.random.key_data(key)).ravel().tolist(),
    }
    about |= {"scaling": repr(subject.scaling), **stream.about, **settings}
    works = {name: _Work(evaluator, stream.n, about, files[name]) for name, evaluator in evaluators.items()}
    first = min((work.done for work in works.values() if not work.finished), default=stream.n)
    total = max((work.total for work in works.values() if not work.finished), default=0)
    model = devices.put(subject.model, devices.whole(devices.mesh()))
    placed = Subject(model, subject.scaling, subject.conditions, subject.loss)
    bar = Progress(total, "example", done=first, unit="examples", enabled=progress and total > first)
    saves = _Saves(works, save_every)
    new = dict.fromkeys(works, True)
    if first < total:
        for batch, count in _announced(stream, first, progress):
            for name, work in works.items():
                with compiling(name.replace("_", " "), enabled=progress and new.pop(name, False)):
                    work.take(placed, batch, key, first, count)
            bar.advance(min(count, total - first))
            first += count
            if first >= total:
                break
            saves.maybe()
    bar.close()
    saves.now()
    return works


def _results(works: Mapping[str, "_Work"], subject: Subject, file: Path | None) -> dict[str, dict[str, Any]]:
    """The result of each evaluator, also written to the file, which keeps what it has of others."""
    results = {}
    before = _read(file)
    for name, work in works.items():
        known, settings = before.get(name, {}), _plain(work.result_settings())
        if known.get("settings") == settings:
            results[name] = known
        elif work.finished:
            results[name] = {**work.evaluator.result(subject, work.state), "settings": settings}
            if file is not None and hasattr(work.evaluator, "pictures"):
                for what, image in work.evaluator.pictures(subject, work.state).items():
                    plots.save_image(file.with_name(f"{file.stem}_{name}_{what}.png"), image)
    if file is not None:
        with written_whole(file) as part:
            part.write_text(json.dumps({**before, **results}, indent=1) + "\n")
    return results


def _announced(stream: Stream, first: int, progress: bool) -> Iterator[tuple[Batch, int]]:
    """The batches of a stream; the first may require compilation."""
    batches = stream.begin(first)
    with compiling(stream.what, enabled=progress):
        begun = next(batches, None)
    if begun is not None:
        yield begun
        yield from batches


class _Work:
    """The progress of one evaluator: the number of examples done, and its state, in memory and on disk."""

    def __init__(self, evaluator: Evaluator, n: int, settings: dict[str, Any], file: Path | None):
        self.total = n if evaluator.first is None else min(n, evaluator.first)
        self.evaluator, self.file = evaluator, file
        self.settings = {**settings, "evaluator": getattr(evaluator, "collects", repr(evaluator)), "total": self.total}
        self.done, self.state = 0, evaluator.begin(self.total)
        if file is not None and file.exists():
            self.done, self.state = self._load(file)
        first = devices.agreed(self.done)
        require(
            not devices.any_host(self.done != first),
            f"the hosts disagree on how far the evaluation is: {first} of {self.total} on the first, {self.done} on this "
            f"one (see {file}). All need the same folder, on a shared disk; or remove the file",
        )
        self._saved = self.done

    @property
    def finished(self) -> bool:
        return self.done >= self.total

    def result_settings(self) -> dict[str, Any]:
        """What the result depends on: the settings of the state, and the evaluator's own."""
        more = self.evaluator.settings() if hasattr(self.evaluator, "settings") else {}
        return {**self.settings, "evaluator": repr(self.evaluator), **more}

    def take(self, subject: Subject, batch: Mapping[str, Any], key: Key[Array, ""], first: int, count: int) -> None:
        """Process the rows of a batch, the examples first ... first + count − 1, that are not done yet."""
        last = min(first + count, self.total)
        if last <= self.done:
            return
        values = devices.gathered(self.evaluator.measure(subject, batch, key))
        own = {name: np.asarray(value)[self.done - first : last - first] for name, value in values.items()}
        self.state = self.evaluator.add(self.state, slice(self.done, last), own)
        self.done = last

    def save(self) -> None:
        if self.file is not None and self._saved < self.done and jax.process_index() == 0:
            with written_whole(self.file) as part:
                np.savez(part, done=self.done, settings=json.dumps(self.settings), **self.state)  # type: ignore[arg-type]
        self._saved = self.done

    def _load(self, file: Path) -> tuple[int, State]:
        try:
            with np.load(file) as arrays:
                state = dict(arrays)
            before = json.loads(str(state.pop("settings")))
            done = int(state.pop("done"))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{file} is no unfinished evaluation ({error}); remove it, or give another folder"
            ) from error
        now = _plain(self.settings)
        differ = [
            f"{name} = {before.get(name)!r} then, {now.get(name)!r} now"
            for name in sorted({*now, *before})
            if before.get(name) != now.get(name)
        ]
        require(
            not differ,
            f"{file} holds an evaluation with other settings: {'; '.join(differ)}. Give another folder "
            "or file (of a run: --eval_folder), or remove this one",
        )
        return done, state


class _Saves:
    """When to save: after every batch if that takes less than a twentieth of the time, at the latest ``every`` seconds."""

    def __init__(self, works: Mapping[str, _Work], every: float):
        self.works, self.every = works, every
        self.last, self.took = time.monotonic(), 0.0

    def maybe(self) -> None:
        """Save if it is time. Each host decides for itself, as only the first one writes."""
        if time.monotonic() - self.last >= min(self.every, 20 * self.took):
            self.now()

    def now(self) -> None:
        began = time.monotonic()
        for work in self.works.values():
            work.save()
        self.last = time.monotonic()
        self.took = self.last - began


def _beside(file: Path | None, name: str) -> Path | None:
    return None if file is None else file.with_name(f"{file.stem}_{name}.npz")


def _read(file: Path | None) -> dict[str, Any]:
    """The results of earlier passes."""
    if file is None or not file.exists():
        return {}
    try:
        return json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is damaged ({error}); remove it, or give another folder") from error


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(settings))
