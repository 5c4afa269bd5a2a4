"""A training state in checkpoints: when they are written, which are kept, and where a run goes on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
from jaxtyping import Array

from score_sde.devices import agreed
from score_sde.parameters import named, rename
from score_sde.training import checkpoint
from score_sde.training.state import TrainState

Groups = dict[str, dict[str, Array]]


class Checkpoints:
    """Writes checkpoints in the background and keeps the newest two, and those of each ``keep_every`` steps for good.

    A disk that is full costs the checkpoint, not the training: the old ones stay, and the next is tried again.
    """

    def __init__(self, folder: Path, keep_every: int, say: Callable[[str], None]):
        self.folder, self.keep_every, self.say = folder, keep_every, say
        self._writing: checkpoint.Writing | None = None

    def save(self, state: TrainState, data: dict[str, int]) -> None:
        """Begin to write, once the one before is there. Nothing to do where the step is saved already."""
        step = int(state.step)
        if step in checkpoint.steps(self.folder) or (self._writing and self._writing.path.name == str(step)):
            return
        self.finish()
        about = {"format": 1, "step": step, "data": data, "weights": ["raw", *state.averages]}
        self._writing = checkpoint.Writing(self.folder / str(step), groups_of(state), about)

    def wait(self) -> None:
        """Until the last one is there; raises if it could not be written."""
        if self._writing is not None:
            self._writing.wait()
            self._remove_old()
            self._writing = None

    def finish(self) -> None:
        """Until the one that is being written is there, or has failed: then it says so and goes on."""
        try:
            self.wait()
        except Exception as error:
            assert self._writing is not None
            self.say(
                f"warning: the checkpoint of step {self._writing.path.name} could not be written ({error}); those "
                "before it are intact. Is the disk full?"
            )
            self._writing = None

    def _remove_old(self) -> None:
        if jax.process_index() == 0:
            passing = [step for step in checkpoint.steps(self.folder) if step % self.keep_every]
            for step in passing[:-2]:
                checkpoint.remove(self.folder / str(step))


def groups_of(state: TrainState) -> Groups:
    """A state as named groups of named arrays, for a checkpoint."""
    counters = {name: getattr(state, name) for name in ("step", "skipped", "skipped_in_row")}
    weights = {name: state.weights(name) for name in ("raw", *state.averages)}
    return {**weights, "optimizer": named(state.optimizer), "counters": counters}


def state_of(groups: Groups, like: TrainState) -> TrainState:
    """The state from its groups, in the shape of another."""
    return dataclasses.replace(
        like,
        **groups["counters"],  # type: ignore[arg-type]
        parameters={name: groups["raw"][name] for name in like.parameters},
        constants={name: groups["raw"][name] for name in like.constants},
        averages={name: {each: groups[name][each] for each in average} for name, average in like.averages.items()},
        optimizer=rename(like.optimizer, groups["optimizer"]),
    )


def resumed(folder: Path, initial: TrainState) -> tuple[TrainState, int]:
    """The state of the newest whole checkpoint, or the initial one, and its step. All hosts read the same."""
    if jax.process_index() == 0:
        checkpoint.clean(folder)
        newest = checkpoint.newest_whole(folder)
        step = -1 if newest is None else int(newest[0].name)
    else:
        step = -1
    step = agreed(step)
    if step < 0:
        return initial, 0
    shardings = {
        group: {name: leaf.sharding for name, leaf in arrays.items()} for group, arrays in groups_of(initial).items()
    }
    groups = checkpoint.load_arrays(folder / str(step), None, lambda group, name: shardings[group][name])
    return state_of(groups, initial), step
