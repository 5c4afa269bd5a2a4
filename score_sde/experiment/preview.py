"""Measurements and images during training: the loss on held-out data, the loss at each noise level, samples."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from score_sde import plots
from score_sde.data import Source
from score_sde.data.batches import take
from score_sde.data.source import mixed
from score_sde.devices import gathered
from score_sde.evaluation import Subject
from score_sde.experiment.experiment import Experiment
from score_sde.experiment.run import Run
from score_sde.progress import compiling
from score_sde.randomness import keys_of
from score_sde.training import TrainState
from score_sde.training.measured import measured_loss
from score_sde.training.metrics import Metrics, read


class HeldOut:
    """The task's loss on held-out data, with the default weights, without dropout, with all conditions given.

    It is the loss of one batch, a new one each time, as in the original. Each host computes it on its own device.
    """

    def __init__(self, experiment: Experiment):
        task = experiment.task_over(stratified=True)  # reduces the variance of a batch's mean
        self.loss = measured_loss(task, experiment.averages)
        self.source = experiment.source(experiment.evaluation.split)
        self.seed = experiment.config.seed
        self.compiled = False
        self.size = min(experiment.config.batches.batch_size, len(self.source))

    def __call__(self, state: TrainState, step: int) -> dict[str, float]:
        index = np.random.default_rng([self.seed, step]).choice(len(self.source), self.size, replace=False)
        key = jax.random.fold_in(jax.random.key(self.seed + 1), step)
        batch = rows(self.source, index)
        with compiling("the held-out loss", enabled=not self.compiled):
            values = self.loss(used(state), batch, keys_of(key, batch["index"]), gathered(state.memory), state.step)
            mean = float(jnp.mean(values))
        self.compiled = True
        return {"eval_loss": mean}


def preview(
    experiment: Experiment, state: TrainState, step: int, workdir: Path, metrics: Metrics | None, *, first: bool
) -> None:
    """Save the images of the task and of its evaluators, and the loss curve. All hosts must call this.

    ``first``: whether this is the first call, in which the programs are compiled.
    """
    model = experiment.task.whole(used(state))
    if jax.process_index() != 0:
        return
    task, key = experiment.task, jax.random.key(experiment.config.seed + 1)
    source = experiment.source(experiment.evaluation.split)
    subject = Subject(model, experiment.scaling, experiment.conditions)
    for name, evaluator in (dict(task.evaluators()) | experiment.measures()).items():
        if hasattr(evaluator, "picture") or hasattr(evaluator, "numbers"):
            batch = rows(source, mixed(min(evaluator.first or len(source), len(source)), len(source)))
            with compiling(name.replace("_", " "), enabled=first):
                values = jax.tree.map(np.asarray, evaluator.measure(subject, batch, key))
            result = evaluator.result(subject, values)
            if hasattr(evaluator, "picture"):
                evaluator.picture(workdir / "reports" / f"{name}.png", result, f"step {step}")
            if hasattr(evaluator, "numbers") and metrics is not None:
                metrics.write(step, {f"{name}/{each}": value for each, value in evaluator.numbers(result).items()})
    plots.loss_curve(workdir / "reports" / "loss.png", read(workdir))
    run, n = Run(model, experiment, step, state.usual, workdir), experiment.logging.preview

    def sample(key):
        with compiling("the sampler", enabled=first):
            return run.to_images(run.sample(key, n, condition=run.usual_condition(n)).x)

    batch = rows(source, np.arange(min(n, len(source))))
    for name, images in task.preview(model, batch, jax.random.fold_in(key, step), sample).items():
        picture = plots.save_samples(workdir / name / f"{step}.png", images, run.scaling.levels)
        if picture is not None and metrics is not None:
            metrics.image(step, name, picture)


def used(state: TrainState):
    """The model with its default weights, gathered on this host's first device."""
    return state.structure.build(gathered(state.weights(state.usual)))


def rows(source: Source, index: np.ndarray) -> dict[str, jax.Array]:
    """Examples of a source on this host's first device, with their index."""
    examples = dict(take(source, index)) | {"index": index.astype(np.int32)}
    return {name: jnp.asarray(value) for name, value in examples.items()}
