"""--mode=eval and --mode=sample, for the checkpoints selected by the config. Finished results are reused."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from score_sde import checkpoints, evaluation
from score_sde.evaluation import Evaluator, SaveSamples, Stream, Subject
from score_sde.experiment import workdir as layout
from score_sde.experiment.experiment import Experiment
from score_sde.experiment.loading import experiment_of, load
from score_sde.experiment.run import Run
from score_sde.training.measured import measured_loss


def evaluate(config: Mapping[str, Any] | ConfigDict, workdir: str | Path, folder: str = "eval") -> dict[int, Any]:
    """The evaluators of config.measures, on the split of config.evaluation or on samples: {step: {name: result}}.

    The results of each checkpoint are added to FOLDER/STEP.json in the workdir.
    """
    workdir, experiment = Path(workdir), experiment_of(config)
    results: dict[int, Any] = {}
    for step in _steps(experiment, workdir):
        run, file = _load(workdir, experiment, step, "eval"), workdir / folder / f"{step}.json"
        results[step] = {}
        for of, chosen in _by_kind(experiment.measures).items():
            if chosen:
                stream = _samples(run) if of == "samples" else _examples(experiment)
                results[step] |= _measured(run, chosen, stream, file)
        if jax.process_index() == 0:
            print(f"written {file}")
    return results


def sample(
    config: Mapping[str, Any] | ConfigDict, workdir: str | Path, folder: str = "eval", n: int | None = None
) -> None:
    """Draw n samples with the config's sampler (default: config.evaluation.samples). All are saved as .npz, the first
    hundred as an image.
    """
    workdir, experiment = Path(workdir), experiment_of(config)
    for step in _steps(experiment, workdir):
        run = _load(workdir, experiment, step, "sample")
        file = workdir / folder / f"samples_{step}.npz"
        result = _measured(run, {"samples": SaveSamples(file)}, _samples(run, n), file.with_suffix(".json"))
        if jax.process_index() == 0:
            picture = f" and {file.with_suffix('.png').name}" if file.with_suffix(".png").exists() else ""
            print(f"written {file} ({result['samples']['samples']} samples){picture}")


def _measured(run: Run, evaluators: Mapping[str, Any], stream: Stream, file: Path) -> dict[str, Any]:
    experiment = run.experiment
    loss = measured_loss(experiment.task_over(stratified=False), experiment.averages)
    subject = Subject(run.model, run.scaling, experiment.conditions, loss)
    key, settings = jax.random.key(experiment.config.seed), {"weights": run.weights}
    found = evaluation.evaluate(subject, evaluators, stream, key, file, settings=settings)
    for name, result in found.items():
        if result.get("mean") is not None:
            error = f" ± {result['standard_error']:.4f}" if result.get("standard_error") is not None else ""
            failed = f" ({result['failures']} failed)" if result.get("failures") else ""
            print(f"step {run.step}: {name} {result['mean']:.4f}{error} {result.get('unit', '')}".rstrip() + failed)
    return found


def _by_kind(evaluators: Mapping[str, Evaluator]) -> dict[str, dict[str, Evaluator]]:
    return {of: {name: each for name, each in evaluators.items() if each.of == of} for of in ("examples", "samples")}


def _examples(experiment: Experiment) -> Stream:
    how = experiment.evaluation
    return evaluation.examples(experiment.source(how.split), how.batch_size)


def _samples(run: Run, n: int | None = None) -> Stream:
    experiment = run.experiment
    n = n or experiment.evaluation.samples
    condition = run.some_labels(n)
    stream = evaluation.samples(
        run.guided(condition),
        jax.random.key(experiment.config.seed),
        n,
        run.shape,
        run.scaling,
        condition=condition,
        batch_size=min(experiment.evaluation.batch_size, n),
        sampler=experiment.sampler,
    )
    how = {name: repr(experiment.config[name]) for name in ("sampler", "guidance")}
    return dataclasses.replace(stream, about={**stream.about, **how})


def _load(workdir: Path, experiment: Experiment, step: int, mode: str) -> Run:
    """The run, with the sampling and evaluation settings of the command line."""
    run = load(workdir, step, experiment.evaluation.weights)
    if jax.process_index() == 0:
        layout.note_launch(workdir, mode, step)
    return dataclasses.replace(run, experiment=experiment)


def _steps(experiment: Experiment, workdir: Path) -> list[int]:
    """The steps of config.evaluation.steps: "newest", "all", "snapshots", a step or several."""
    there, chosen = checkpoints.steps(workdir), experiment.evaluation.steps
    if not there:
        raise ValueError(f"{workdir} has no checkpoint to evaluate; train first, or correct --workdir")
    if chosen == "newest":
        return there[-1:]
    if chosen == "all":
        return there
    if chosen == "snapshots":
        return checkpoints.snapshots(workdir)
    steps = [chosen] if isinstance(chosen, int) else [int(step) for step in chosen]
    if any(step not in there for step in steps):
        raise ValueError(
            f'config.evaluation.steps = {chosen!r}; allowed: "newest", "all", "snapshots", or steps of {workdir}: '
            f"{', '.join(map(str, there))}"
        )
    return steps
