"""The training loop: batches, metrics, checkpoints, events, and a clean end."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from score_sde.checkpoints import Checkpoints
from score_sde.checks import require
from score_sde.parameters import Arrays
from score_sde.progress import Progress, compiling
from score_sde.training.metrics import Metrics
from score_sde.training.parallel import Program
from score_sde.training.signals import Signals
from score_sde.training.state import TrainState


class Diverged(RuntimeError):
    """Too many consecutive steps with a non-finite loss or gradient."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The length of a training run and its intervals, all in steps.

    steps               the step at which training ends
    steps_per_call      steps per call of the device; more reduce the overhead of small models
    accumulate          micro-batches per batch, to save memory; the step is the same
    log_every           the means of the loss and its metrics
    evaluate_every      the loss on held-out data
    checkpoint_every    a state to resume from; the newest two are kept
    snapshot_every      weights and averages, kept permanently, and a preview
    max_skipped         consecutive steps without a finite loss or gradient that end the training
    """

    steps: int = 1_300_001
    steps_per_call: int = 1
    accumulate: int = 1
    log_every: int = 50
    evaluate_every: int = 100
    checkpoint_every: int = 10_000
    snapshot_every: int = 50_000
    max_skipped: int = 100

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            require(value >= 1, f"{field.name} = {value}; allowed: 1 or more")


class Event(NamedTuple):
    """An action every ``every`` steps: ``action(state, step)`` returns metrics, or None.

    The state's arrays are donated to the next step. ``at_end``: also after the last step; ``saved``: after the
    checkpoint of the step, if there is one, rather than before it.
    """

    every: int
    action: Callable[[TrainState, int], Mapping[str, float] | None]
    at_end: bool = True
    saved: bool = False

    def due(self, step: int, last: int) -> bool:
        """Whether the action is due after this step."""
        return step % self.every == 0 or (self.at_end and step == last)


def fit(
    program: Program,
    state: TrainState,
    frozen: Arrays,
    batches: Any,
    key: Key[Array, ""],
    plan: Plan,
    *,
    rate: Callable[[Array], Array] | None = None,
    batch_size: int = 1,
    checkpoints: Checkpoints | None = None,
    metrics: Metrics | None = None,
    events: Sequence[Event] = (),
) -> TrainState:
    """Train up to ``plan.steps``, or until a signal requests the end, and return the final state.

    ``program``: see ``Parallel.compile``. ``batches``: from ``data.training_batches``, continued at the state's step.
    ``rate``: the learning rate of a step, for the metrics.
    """
    step, last = int(state.step), plan.steps
    saving = Event(plan.checkpoint_every, lambda *_: None), Event(plan.snapshot_every, lambda *_: None)
    logging = Event(plan.log_every, lambda *_: None)
    stops = [event.every for event in (logging, *saving, *events)]
    display = Progress(last, "step", done=step, each=batch_size, unit="examples")
    with contextlib.ExitStack() as stack:
        stack.callback(display.close)
        reader = iter(batches)
        stack.callback(reader.close)
        reader.set_state({"step": step})
        if checkpoints is not None:
            checkpoints.say = display.say
            stack.callback(checkpoints.finish)
        signals = stack.enter_context(Signals())
        compiled: set[int] = set()
        seen: list[dict[str, jax.Array]] = []
        while step < last and not signals.received(step):
            count = plan.steps_per_call if step + plan.steps_per_call <= _next(step, stops, last) else 1
            rows = tuple(next(reader) for _ in range(count))
            new = count not in compiled
            with compiling("the training step", enabled=new):
                state, found = program(state, frozen, rows, key)
                if new:
                    jax.block_until_ready(found)
            seen.append(found)
            step += count
            if new:
                compiled.add(count)
                display.begin(step)
            values: dict[str, float] = {}
            if logging.due(step, last):
                values, seen = _summary(seen, rate, step), []
                _write(metrics, step, values)
            display.show(step, {name: values[name] for name in ("loss", "grad_norm", "lr") if name in values})
            if values:
                problem = _problem(values, step, plan.max_skipped)
                if problem is not None:
                    _save(checkpoints, state, step, reader.get_state(), snapshot=False)
                    raise Diverged(problem)
            _happen(events, False, state, step, last, metrics)
            if any(event.due(step, last) for event in saving):
                _save(checkpoints, state, step, reader.get_state(), snapshot=saving[1].due(step, last))
            _happen(events, True, state, step, last, metrics)
        _save(checkpoints, state, step, reader.get_state(), snapshot=False)
        if checkpoints is not None:
            checkpoints.wait()
    return state


def _happen(
    events: Sequence[Event], saved: bool, state: TrainState, step: int, last: int, metrics: Metrics | None
) -> None:
    for event in events:
        if event.saved == saved and event.due(step, last):
            _write(metrics, step, event.action(state, step))


def _save(
    checkpoints: Checkpoints | None, state: TrainState, step: int, data: Mapping[str, int], *, snapshot: bool
) -> None:
    if checkpoints is None:
        return
    if snapshot:
        checkpoints.save_snapshot(step, state.snapshot())
    checkpoints.save(step, state.groups(), ("raw", *state.averages), data)


def _summary(seen: list[dict[str, jax.Array]], rate: Callable[[Array], Array] | None, step: int) -> dict[str, float]:
    """The means over the steps since the last summary; for the counters and the learning rate, the last value."""
    found = {name: np.concatenate([np.asarray(each[name]) for each in seen]) for name in seen[0]}
    values = {
        name: float(value[-1] if name.startswith("skipped") else _mean_of_finite(value))
        for name, value in found.items()
    }
    return values if rate is None else {**values, "lr": float(rate(jnp.asarray(step - 1)))}


def _mean_of_finite(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _write(metrics: Metrics | None, step: int, values: Mapping[str, float] | None) -> None:
    if metrics is not None and values:
        metrics.write(step, values)


def _problem(values: Mapping[str, float], step: int, limit: int) -> str | None:
    """The error message if the training cannot continue; warns if a tolerable number of steps was bad."""
    bad = int(values["skipped_in_row"])
    if bad >= limit:
        return (
            f"the loss or its gradient has not been finite since step {step - bad} ({bad} steps; training.max_skipped = "
            f"{limit}). None of these steps changed anything: the newest checkpoint, of step {step}, has the weights of "
            f"step {step - bad}. Likely fixes: a smaller optim.lr, a longer optim.warmup, optim.clip, network.dtype = "
            "'float32'; or look at the data of that step"
        )
    if bad:
        warnings.warn(f"{bad} steps up to step {step} without a finite loss or gradient changed nothing", stacklevel=3)
    return None


def _next(step: int, stops: Sequence[int], last: int) -> int:
    """The next step at which something is due."""
    return min([last, *((step // n + 1) * n for n in stops)])
