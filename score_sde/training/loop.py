"""The loop around the step: resume, batches, measurements, checkpoints, hooks, and an orderly end."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from score_sde import config as configs
from score_sde import workdir as layout
from score_sde.data import training_batches
from score_sde.randomness import INITIALISATION
from score_sde.training.evaluate import HeldOut
from score_sde.training.metrics import Display, Metrics
from score_sde.training.saving import Checkpoints, resumed
from score_sde.training.signals import Signals
from score_sde.training.state import TrainState
from score_sde.training.step import make_train_step

Hook = tuple[int, Callable[[TrainState, Any], Any]]


class Diverged(RuntimeError):
    """Too many steps in a row whose loss or gradient was not finite."""


@dataclasses.dataclass
class Result:
    """What a training left: its state, and whether a signal ended it before the last step."""

    state: TrainState
    interrupted: bool


def train(config: ConfigDict, workdir: Path, hooks: Sequence[Hook] = ()) -> Result:
    """Train up to config.training.n_iters steps, from the newest checkpoint of the workdir if there is one.

    ``hooks``: (every, function) pairs; function(state, run) is called after each ``every`` steps. The run is what
    ``ss.load`` gives, with the averaged weights of the moment; the next step takes the arrays of both away.
    """
    from score_sde.run import Run

    workdir, t = Path(workdir), config.training
    parallel = configs.build_parallel(config)
    parallel.check_batch_size(t.batch_size, t.accumulate)
    source = configs.build_source(config, "train")
    scaling = configs.build_scaling(config, source)
    optimizer, rate = configs.build_optimizer(config)
    averages = configs.build_averages(config)
    conditions = configs.build_conditions(config)
    loss = configs.build_loss(config, scaling, parallel.axis_name)
    step_function = make_train_step(loss, optimizer, averages, accumulate=t.accumulate, axis_name=parallel.axis_name)
    program = parallel.compile(step_function)
    key = jax.random.key(config.seed)
    network = configs.build_network(config, nnx.Rngs(jax.random.fold_in(key, INITIALISATION)))
    initial = TrainState.create(configs.build_model(config, network), optimizer, averages)
    folder = workdir / "checkpoints"
    state, first = resumed(folder, parallel.place(initial))
    batches = training_batches(
        source,
        t.batch_size,
        seed=config.seed,
        flip=config.data.random_flip and source.flippable,
        entries=conditions.entries(),
        spatial=conditions.entries(spatial=True),
        sharding=parallel.batch_sharding,
        workers=config.data.workers,
    )
    hooks = [*hooks, *configs.build_hooks(config)]
    saves = (t.snapshot_freq, t.snapshot_freq_for_preemption)
    stops = (t.log_freq, t.eval_freq, *saves, *(every for every, _ in hooks))
    last, step = t.n_iters, first

    with contextlib.ExitStack() as stack:
        metrics = None
        if jax.process_index() == 0:
            layout.note_launch(workdir, "train", first)
            metrics = Metrics(workdir, first, config, tensorboard=t.tensorboard, wandb=t.wandb)
            stack.callback(metrics.close)
        display = Display(first, last, t.batch_size)
        stack.callback(display.close)
        reader = iter(batches)
        stack.callback(reader.close)
        reader.set_state({"step": first})
        writer = Checkpoints(folder, keep_every=t.snapshot_freq, say=display.say)
        stack.callback(writer.finish)
        held_out = HeldOut(config, scaling)
        signals = stack.enter_context(Signals())
        seen: list[dict[str, jax.Array]] = []
        while step < last and not signals.received(step):
            count = t.steps_per_call if step + t.steps_per_call <= _next(step, stops, last) else 1
            state, found = program(state, tuple(next(reader) for _ in range(count)), key)
            seen.append(found)
            step += count
            if _due(step, t.log_freq, last):
                values, seen = _summary(seen, step, rate), []
                _write(metrics, step, values)
                display.show(step, {name: values[name] for name in ("loss", "grad_norm", "lr")})
                problem = _problem(values, step, t.max_skipped)
                if problem is not None:
                    writer.save(state, reader.get_state())
                    writer.wait()
                    raise Diverged(problem)
            if _due(step, t.eval_freq, last):
                _write(metrics, step, {"eval_loss": held_out.loss(state, step)})
            for every, function in hooks:
                if step % every == 0:
                    function(state, Run(state.model("ema"), config, step, "ema", workdir))
            if any(_due(step, every, last) for every in saves):
                writer.save(state, reader.get_state())
            if _due(step, t.snapshot_freq, last) and t.snapshot_sampling:
                held_out.snapshot(state, step, workdir, metrics)
        writer.save(state, reader.get_state())
        writer.wait()
    return Result(state, interrupted=step < last)


def _summary(seen: list[dict[str, jax.Array]], step: int, rate: Callable) -> dict[str, float]:
    """Means over the steps since the last time; of the counters the last value."""
    found = {name: np.concatenate([np.asarray(each[name]) for each in seen]) for name in seen[0]}
    values = {
        name: float(value[-1] if name.startswith("skipped") else _mean_of_finite(value))
        for name, value in found.items()
    }
    return values | {"lr": float(rate(jnp.asarray(step - 1)))}


def _mean_of_finite(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _write(metrics: Metrics | None, step: int, values: dict[str, float]) -> None:
    if metrics is not None:
        metrics.write(step, values)


def _problem(values: dict[str, float], step: int, limit: int) -> str | None:
    """What to say if the training cannot go on; a warning if there were bad steps, but not too many."""
    bad = int(values["skipped_in_row"])
    if bad >= limit:
        return (
            f"the loss or its gradient has not been finite since step {step - bad} ({bad} steps; "
            f"config.training.max_skipped = {limit}). None of these steps changed anything: the newest checkpoint, of "
            f"step {step}, has the weights of step {step - bad}. Likely fixes: a smaller config.optim.lr, a longer "
            "optim.warmup, optim.grad_clip, model.dtype = 'float32'; or look at the data of that step"
        )
    if bad:
        warnings.warn(f"{bad} steps up to step {step} without a finite loss or gradient changed nothing", stacklevel=3)
    return None


def _due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def _next(step: int, stops: Sequence[int], last: int) -> int:
    """The next step at which something is due."""
    return min([last, *((step // n + 1) * n for n in stops)])
