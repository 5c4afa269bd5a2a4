"""The checkpoints of a training run: writing, removing, and resuming.

checkpoints/STEP    the full state for resuming; the newest two are kept
snapshots/STEP      only the weights and their averages, kept permanently
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from score_sde.checkpoints import store
from score_sde.checkpoints.store import Groups
from score_sde.devices import agreed

CHECKPOINTS, SNAPSHOTS = "checkpoints", "snapshots"
FORMAT = 2
KEPT = 2


class Checkpoints:
    """Writes checkpoints in the background.

    If the disk is full, the checkpoint fails but training continues: old checkpoints stay, and the next is attempted.
    ``about``: further entries of every manifest, such as the name of the task.
    """

    def __init__(self, workdir: Path, about: Mapping[str, Any], say: Callable[[str], None] = print):
        self.workdir, self.about, self.say = Path(workdir), about, say
        self._writing: store.Writing | None = None

    def save(self, step: int, groups: Groups, weights: tuple[str, ...], data: Mapping[str, int]) -> None:
        """Start writing a state, after the previous one has finished. A step that is already saved is skipped.

        ``weights``: the groups that are weights; ``data``: the position at which the batches resume.
        """
        self._begin(CHECKPOINTS, step, groups, {"weights": list(weights), "data": dict(data)})

    def save_snapshot(self, step: int, groups: Groups) -> None:
        """Start writing a snapshot; all groups are weights."""
        self._begin(SNAPSHOTS, step, groups, {"weights": list(groups)})

    def wait(self) -> None:
        """Wait for the last checkpoint; raises if it could not be written."""
        if self._writing is not None:
            self._writing.wait()
            self._remove_old()
            self._writing = None

    def finish(self) -> None:
        """Wait for the checkpoint in progress; a failure is reported but not raised."""
        try:
            self.wait()
        except Exception as error:
            assert self._writing is not None
            self.say(
                f"warning: the checkpoint of step {self._writing.path.name} could not be written ({error}); those "
                "before it are intact. Is the disk full?"
            )
            self._writing = None

    def _begin(self, folder: str, step: int, groups: Groups, about: Mapping[str, Any]) -> None:
        path = (self.workdir / folder / str(step)).resolve()
        if path.exists() or (self._writing and self._writing.path == path):
            return
        self.finish()
        self._writing = store.Writing(path, groups, {"format": FORMAT, "step": step, **self.about, **about})

    def _remove_old(self) -> None:
        if jax.process_index() == 0:
            for step in store.steps(self.workdir / CHECKPOINTS)[:-KEPT]:
                store.remove(self.workdir / CHECKPOINTS / str(step))


def resumed(workdir: Path, initial: Groups, about: Mapping[str, Any]) -> tuple[Groups, int]:
    """The groups of the newest valid checkpoint, or the initial ones, and its step. All hosts read the same one.

    ``initial`` determines the arrays and their sharding. A checkpoint of another task, or of a model with other arrays,
    raises a ValueError.
    """
    folder = Path(workdir) / CHECKPOINTS
    step = -1
    if jax.process_index() == 0:
        store.clean(folder)
        store.clean(Path(workdir) / SNAPSHOTS)
        newest = store.newest_whole(folder)
        step = -1 if newest is None else int(newest[0].name)
    step = agreed(step)
    if step < 0:
        return initial, 0
    path = folder / str(step)
    check_about(path, store.manifest(path), about)
    shapes = {f"{group}/{name}": leaf.shape for group, arrays in initial.items() for name, leaf in arrays.items()}
    stored = store.shapes(path)
    wrong = sorted(name for name in {*shapes, *stored} if shapes.get(name) != stored.get(name))
    if wrong:
        raise ValueError(
            f"the checkpoint {path} is of another model or optimiser: {len(wrong)} arrays differ in name or shape, such "
            f"as {', '.join(wrong[:4])}. Go on with the config that it was made with, or give another workdir"
        )
    shardings = {group: {name: leaf.sharding for name, leaf in arrays.items()} for group, arrays in initial.items()}
    loaded = store.load_arrays(path, None, lambda group, name: shardings[group][name])
    return {group: loaded.get(group, {}) for group in initial}, step


def check_about(path: Path, manifest: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Raise a ValueError unless a checkpoint has the same task and the same frozen models."""
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"the checkpoint {path} has format {manifest.get('format')}; this release reads format {FORMAT}"
        )
    if "task" in about and manifest.get("task") != about["task"]:
        raise ValueError(
            f"the checkpoint {path} is of the task {manifest.get('task')!r}, not of {about['task']!r}; give another "
            "workdir, or the config that it was made with"
        )
    if "frozen" in about and manifest.get("frozen") != about["frozen"]:
        raise ValueError(
            f"the checkpoint {path} was trained beside frozen models with the hash {manifest.get('frozen')}; those that are "
            f"given now have {about['frozen']}. Give the same, or another workdir"
        )
