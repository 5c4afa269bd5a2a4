"""``ss.train(config, workdir)``: what ``main.py --mode=train`` calls, and what a notebook may."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from score_sde import devices
from score_sde.data import training_batches
from score_sde.experiment import workdir as layout
from score_sde.experiment.experiment import Experiment, as_sections
from score_sde.experiment.loading import experiment_of, pinned, resolve
from score_sde.experiment.preview import HeldOut, preview
from score_sde.experiment.run import Run
from score_sde.objects import import_object
from score_sde.training import TrainState, make_train_step
from score_sde.training.loop import Event, fit
from score_sde.training.metrics import Metrics

Hook = tuple[int, Callable[[TrainState, Run], Any]]


def train(
    config: Mapping[str, Any] | ConfigDict,
    workdir: str | Path,
    *,
    hooks: Sequence[Hook] = (),
    replace_config: bool = False,
) -> Run:
    """Train up to config.training.steps, from the newest checkpoint of the workdir if there is one.

    The run that is returned has the averaged weights; its ``step`` is below config.training.steps if a signal ended the
    training. ``hooks``: (every, function) pairs; function(state, run) is called after each ``every`` steps, and the next
    step takes the arrays of both away. A config that cannot be used is refused before anything is written.
    """
    experiment = experiment_of(config)
    experiment.check()
    workdir = Path(workdir)
    experiment = Experiment(ConfigDict(pinned(as_sections(experiment.config))), resolve)
    parallel, plan, logging = experiment.parallel, experiment.plan, experiment.logging
    task = experiment.task_over(parallel.axis_name)
    batch_size = experiment.config.batches.batch_size
    parallel.check_batch_size(batch_size, plan.accumulate)
    source, key = experiment.source("train"), jax.random.key(experiment.config.seed)
    batches = training_batches(
        source,
        **experiment.config.batches,
        seed=experiment.config.seed,
        entries=experiment.conditions.entries(),
        spatial=experiment.conditions.entries(spatial=True),
        sharding=parallel.batch_sharding,
    )
    held_out = HeldOut(experiment, task)
    if devices.is_main():
        layout.prepare(workdir, experiment.config, replace_config=replace_config)
    optimizer, rate = experiment.optimizer()
    step = make_train_step(
        task, optimizer, experiment.averages, accumulate=plan.accumulate, axis_name=parallel.axis_name
    )
    state = TrainState.create(task.init(key), optimizer, experiment.averages, task.memory)
