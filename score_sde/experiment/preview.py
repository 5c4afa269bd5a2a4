"""What a training measures and shows on the way: the loss on held-out data, the loss at each noise level, samples."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from score_sde import losses, plots
from score_sde.conditions import Conditions
from score_sde.data import DataScaling, Source
from score_sde.data.batches import take
from score_sde.devices import gathered
from score_sde.experiment.experiment import Experiment
from score_sde.experiment.run import Run
from score_sde.parameters import split
from score_sde.randomness import keys_of
from score_sde.training import Context, Task, TrainState
from score_sde.training.metrics import Metrics, read


class HeldOut:
    """The task's loss on held-out data, with the weights that a model is used with, without dropout, all conditions told.

    It is of one batch, another one each time, as in the original. Each host does the same on its own device.
    """

    def __init__(self, experiment: Experiment):
        self.task = experiment.task_over(stratified=True)  # even times make one batch's mean steadier
        self.source = experiment.source(experiment.evaluation.split)
        self.seed = experiment.config.seed
        self.size = min(experiment.config.batches.batch_size, len(self.source))
        self._loss = jax.jit(lambda *arguments: jnp.mean(_values(self.task, *arguments)))

    def __call__(self, state: TrainState, step: int) -> dict[str, float]:
        index = np.random.default_rng([self.seed, step]).choice(len(self.source), self.size, replace=False)
        key = jax.random.fold_in(jax.random.key(self.seed + 1), step)
        batch = rows(self.source, index)
        return {"eval_loss": float(self._loss(used(state), gathered(state.memory), state.step, batch, key))}


def _values(task: Task, model, memory, step, batch, key) -> jax.Array:
    context = Context(model, {}, task.frozen, memory, step, training=False)
    return task.loss(context, batch, keys_of(key, batch["index"]))[0]


def preview(experiment: Experiment, state: TrainState, step: int, workdir: Path, metrics: Metrics | None) -> None:
    """Samples as a picture, and the reports: loss curve, loss at each noise level. Every host must come here."""
    model = used(state)
    if jax.process_index() != 0:
        return
    source = experiment.source(experiment.evaluation.split)
    key = jax.random.key(experiment.config.seed + 1)
    log_snr, values = loss_per_level(model, source, experiment.scaling, experiment.conditions, key)
    plots.loss_per_level(workdir / "reports" / "loss_per_level.png", log_snr, {f"step {step}": values})
    plots.loss_curve(workdir / "reports" / "loss.png", read(workdir))
    run, n = Run(model, experiment, step, state.usual, workdir), experiment.logging.preview
    out = run.sample(jax.random.fold_in(key, step), n, condition=run.some_labels(n))
    picture = plots.save_samples(workdir / "samples" / f"{step}.png", run.to_images(out.x), run.scaling.levels)
    if picture is not None and metrics is not None:
        metrics.image(step, "samples", picture)


def loss_per_level(
    model, source: Source, scaling: DataScaling, conditions: Conditions, key, examples: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """(log-SNR, E‖ε̂ − ε‖²/D) over noise levels, on the first examples of a source."""
    batch = rows(source, np.arange(min(examples, len(source))))
    keys, times = keys_of(key, batch["index"]), losses.levels(model.sde)
    values = _per_level(model, scaling.forward(batch["data"], keys), keys, times, conditions.of(batch))
    return np.asarray(model.sde.log_snr(times)), np.asarray(values).mean(axis=0)


_per_level = jax.jit(losses.per_level)


def used(state: TrainState):
    """The model with the weights that it is used with, whole, on this host's first device."""
    return state.structure.build(gathered(state.weights(state.usual)))


def rows(source: Source, index: np.ndarray) -> dict[str, jax.Array]:
    """Examples of a source on this host's first device, with their index."""
    examples = dict(take(source, index)) | {"index": index.astype(np.int32)}
    return {name: jnp.asarray(value) for name, value in examples.items()}


def trained_and_constant(model) -> dict[str, jax.Array]:
    """All arrays of a model by name."""
    trained, constants, _ = split(model)
    return trained | constants
