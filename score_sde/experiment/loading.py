"""Loading runs from workdirs, and references from one run to another: a teacher, a classifier, a guiding network.

A config refers to a run as ``{"run": WORKDIR, "step": None, "weights": "ema"}``; WORKDIR may be the name of a model in the
box. When training begins, the step and the hash of the weights are added to the reference, so that a later change of the
weights is detected.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array
from ml_collections import ConfigDict

from score_sde import box, checkpoints, parameters
from score_sde.checks import require
from score_sde.config.schema import REFERENCE
from score_sde.experiment import packed
from score_sde.experiment import workdir as layout
from score_sde.experiment.card import read_card
from score_sde.experiment.experiment import Experiment
from score_sde.experiment.run import Run


def experiment_of(config: Mapping[str, Any] | ConfigDict) -> Experiment:
    """The experiment of a user's config, which may refer to other runs."""
    return Experiment.of(config, resolve)


def load(workdir: str | Path, step: int | None = None, weights: str = "ema") -> Run:
    """The run in a workdir: its newest checkpoint, or that of a step; the averaged weights, or "raw" ones.

    Incomplete checkpoints of a running training are ignored; a damaged one is skipped with a warning. A packed run
    (``pack``) has the weights of one step.
    """
    workdir = Path(workdir)
    if packed.is_packed(workdir):
        return _unpacked(workdir, step, weights)
    experiment = Experiment(layout.read_config(workdir), resolve)
    path, manifest = checkpoints.find(workdir, step)
    if weights not in manifest["weights"]:
        there = ", ".join(map(repr, manifest["weights"]))
        raise ValueError(f"weights = {weights!r}; the checkpoint of step {path.name} has {there}")
    checkpoints.check_about(path, manifest, {"task": experiment.task.name})
    saved = checkpoints.load_arrays(path, (weights,))
    model = with_arrays(jax.eval_shape(experiment.task.init, jax.random.key(0)), saved[weights])
    return Run(experiment.task.whole(model), experiment, int(path.name), weights, workdir)


def pretrained(name: str | None = None) -> Run | dict[str, str]:
    """A small trained model that comes with the package; its ``card`` says what it is. Without a name: the list of all."""
    if name is None:
        return {each: read_card(box.folder(each) / packed.CARD).title for each in box.names()}
    return load(box.folder(name))


def _unpacked(folder: Path, step: int | None, weights: str) -> Run:
    arrays, card = packed.arrays_of(folder)
    require(step in (None, card.step), f"step = {step}; {folder} has the weights of step {card.step} alone")
    require(weights in ("ema", card.weights), f"weights = {weights!r}; {folder} has {card.weights!r} alone")
    experiment = Experiment(layout.read_config(folder), resolve)
    model = with_arrays(jax.eval_shape(experiment.task.init, jax.random.key(0)), arrays)
    return Run(experiment.task.whole(model), experiment, card.step, card.weights, card=card)


def save(workdir: str | Path, experiment: Experiment, step: int, models: Mapping[str, Any]) -> Path:
    """Write a workdir for ``load``, from models by the name of their weights ("raw", "ema"); not into another run's."""
    workdir = Path(workdir)
    if step in checkpoints.steps(workdir):
        raise ValueError(f"{workdir} has a checkpoint of step {step} already; give another folder, or remove it")
    layout.prepare(workdir, experiment.config)
    groups = {}
    for name, model in models.items():
        trained, constants, _ = parameters.split(model)
        groups[name] = trained | constants
    checkpoints.save(workdir, step, groups, {"task": experiment.task.name, "frozen": None})
    return workdir


def with_arrays(model: Any, arrays: Mapping[str, Array]) -> Any:
    """The model with other arrays; a ValueError unless their names and shapes match."""
    trained, constants, structure = parameters.split(model)
    mine = trained | constants
    wrong = sorted(set(mine) ^ set(arrays))
    wrong += [name for name in mine if name in arrays and mine[name].shape != arrays[name].shape]
    if wrong:
        raise ValueError(
            f"the checkpoint is not of the model that config.json describes: {len(wrong)} arrays differ in name or "
            f"shape, such as {', '.join(wrong[:4])}. Was config.json edited?"
        )
    return structure.build({name: jax.numpy.asarray(arrays[name]) for name in mine})


def resolve(reference: Mapping[str, Any]) -> Any:
    """The model of a reference; a ValueError if its weights do not match the recorded hash."""
    return _found(reference)[0].model


def pinned(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the step and the hash of every reference filled in."""
    return {name: _pinned(value) if isinstance(value, Mapping) else value for name, value in sections.items()}


def _pinned(section: Mapping[str, Any]) -> dict[str, Any]:
    if set(section) != set(REFERENCE):
        return pinned(section)
    run, found = _found(section)
    return {**section, "step": run.step, "hash": found}


def _found(reference: Mapping[str, Any]) -> tuple[Run, str]:
    """The run and the hash of its weights."""
    place = reference["run"]
    inside = not Path(place).exists() and place in box.names()
    run = load(box.folder(place) if inside else place, reference["step"], reference["weights"])
    trained, constants, _ = parameters.split(run.model)
    found, seen = checkpoints.hash_of(trained | constants), reference["hash"]
    if seen is not None and seen != found:
        raise ValueError(
            f"the weights {run.weights!r} of step {run.step} in {reference['run']} are not those that were seen: their "
            f"hash is {found}, the config has {seen}. Restore that run, or set hash = None to take the new weights"
        )
    return run, found
