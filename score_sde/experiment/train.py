"""``ss.train(config, workdir)``, for notebooks and ``main.py --mode=train``."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from score_sde.checkpoints import Checkpoints, hash_of, resumed
from score_sde.data import training_batches
from score_sde.experiment import workdir as layout
from score_sde.experiment.abstract import check
from score_sde.experiment.experiment import Experiment, as_sections
from score_sde.experiment.loading import experiment_of, pinned, resolve
from score_sde.experiment.preview import HeldOut, preview
from score_sde.experiment.run import Run
from score_sde.objects import import_object
from score_sde.training import TrainState, make_train_step
from score_sde.training.loop import Event, fit
from score_sde.training.metrics import Metrics
from score_sde.training.step import check_frozen, frozen_arrays

Hook = tuple[int, Callable[[TrainState, Run], Any]]


def train(
    config: Mapping[str, Any] | ConfigDict,
    workdir: str | Path,
    *,
    hooks: Sequence[Hook] = (),
    replace_config: bool = False,
) -> Run:
    """Train up to config.training.steps, from the newest checkpoint of the workdir if there is one.

    The returned run has the averaged weights; its ``step`` is below config.training.steps if a signal ended training.
    ``hooks``: (every, function) pairs; function(state, run) is called after every ``every`` steps, and the arrays of
    both are donated to the next step. An invalid config raises an error before anything is written.
    """
    workdir = Path(workdir)
    experiment = experiment_of(config)
    check(experiment)
    experiment = Experiment(ConfigDict(pinned(as_sections(experiment.config))), resolve)
    parallel, plan, seed = experiment.parallel, experiment.plan, experiment.config.seed
    task = experiment.task_over(axis_name=parallel.axis_name)
    batch_size = experiment.config.batches.batch_size
    parallel.check_batch_size(batch_size, plan.accumulate)
    batches = training_batches(
        experiment.source("train"),
        **experiment.config.batches,
        seed=seed,
        entries=tuple(dict.fromkeys((*experiment.conditions.entries(), *task.entries))),
        spatial=experiment.conditions.entries(spatial=True),
        sharding=parallel.batch_sharding,
    )
    held_out, key = HeldOut(experiment), jax.random.key(seed)
    if jax.process_index() == 0:
        layout.prepare(workdir, experiment.config, replace_config=replace_config)
    optimizer, rate = experiment.optimizer()
    step = make_train_step(
        task, optimizer, experiment.averages, accumulate=plan.accumulate, distribute=parallel.distribute
    )
    model, frozen = task.init(key), frozen_arrays(task)
    check_frozen(task, model)
    state = parallel.place(TrainState.create(model, optimizer, experiment.averages, task.memory))
    about = {"task": task.name, "frozen": hash_of(frozen) if frozen else None}
    groups, first = resumed(workdir, state.groups(), about)
    state = state.with_groups(groups)
    with _metrics(experiment, workdir, first) as metrics:
        state = fit(
            parallel.compile(step),
            state,
            parallel.place(frozen),
            batches,
            key,
            plan,
            rate=rate,
            batch_size=batch_size,
            checkpoints=Checkpoints(workdir, about),
            metrics=metrics,
            events=_events(experiment, held_out, hooks, workdir, metrics),
        )
    return _run(experiment, state, workdir)


def _events(
    experiment: Experiment, held_out: HeldOut, hooks: Sequence[Hook], workdir: Path, metrics: Metrics | None
) -> list[Event]:
    plan, logging = experiment.plan, experiment.logging
    own = [(every, import_object(path)) for every, path in logging.hooks]
    events = [Event(plan.evaluate_every, held_out)]
    for every, function in (*hooks, *own):
        events.append(Event(every, _hook(experiment, function, workdir), at_end=False))
    if logging.preview:
        shown: list[int] = []

        def show(state: TrainState, step: int) -> None:
            preview(experiment, state, step, workdir, metrics, first=not shown)
            shown.append(step)

        events.append(Event(plan.snapshot_every, show, saved=True))
    return events


def _hook(experiment: Experiment, function: Callable, workdir: Path) -> Callable[[TrainState, int], None]:
    def call(state: TrainState, step: int) -> None:
        function(state, _run(experiment, state, workdir))

    return call


def _run(experiment: Experiment, state: TrainState, workdir: Path) -> Run:
    return Run(experiment.task.whole(state.model(state.usual)), experiment, int(state.step), state.usual, workdir)


@contextlib.contextmanager
def _metrics(experiment: Experiment, workdir: Path, first: int) -> Iterator[Metrics | None]:
    """The metrics writer; None except on the first host."""
    if jax.process_index() != 0:
        yield None
        return
    layout.note_launch(workdir, "train", first)
    logging = experiment.logging
    metrics = Metrics(workdir, first, experiment.config, tensorboard=logging.tensorboard, wandb=logging.wandb)
    try:
        yield metrics
    finally:
        metrics.close()
