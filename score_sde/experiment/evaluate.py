"""--mode=eval and --mode=sample, for the checkpoints selected by the config. Finished results are reused."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from score_sde import checkpoints, plots
from score_sde.evaluation import SaveSamples, write_report
from score_sde.evaluation.report import number
from score_sde.experiment import workdir as layout
from score_sde.experiment.experiment import Experiment
from score_sde.experiment.loading import experiment_of, load
from score_sde.experiment.run import Run

CAPTIONED = 40
"""The samples in a picture with captions."""


def evaluate(config: Mapping[str, Any] | ConfigDict, workdir: str | Path, folder: str = "eval") -> dict[int, Any]:
    """The evaluators of config.measures, on the split of config.evaluation or on samples: {step: {name: result}}.

    The results of each checkpoint are added to FOLDER/STEP.json in the workdir; FOLDER/report.html shows all.
    """
    workdir, experiment = Path(workdir), experiment_of(config)
    measures = experiment.measures(workdir / folder / "statistics")
    results: dict[int, Any] = {}
    for step in steps_of(experiment, workdir):
        run, file = loaded(workdir, experiment, step, "eval"), workdir / folder / f"{step}.json"
        results[step] = told(run, run.evaluate(measures, file=file))
        if jax.process_index() == 0:
            for name, evaluator in measures.items():
                if hasattr(evaluator, "picture"):
                    evaluator.picture(file.with_name(f"{step}_{name}_levels.png"), results[step][name], f"step {step}")
            print(f"written {file} and {write_report(file.parent, workdir.resolve().name).name}")
    return results


def sample(
    config: Mapping[str, Any] | ConfigDict,
    workdir: str | Path,
    folder: str = "eval",
    n: int | None = None,
    prompts: Sequence[str] = (),
) -> None:
    """Draw n samples with the config's sampler (default: config.evaluation.samples). All are saved as .npz, the first
    hundred as an image.

    ``prompts``: captions, which the samples have in turn; there is one of each unless n says otherwise. Then the file is
    prompted_STEP.npz, and the image has the captions.
    """
    workdir, experiment = Path(workdir), experiment_of(config)
    for step in steps_of(experiment, workdir):
        run = loaded(workdir, experiment, step, "sample")
        n = n or len(prompts) or experiment.evaluation.samples
        file = workdir / folder / f"{'prompted' if prompts else 'samples'}_{step}.npz"
        condition = run.prompted(prompts, n) if prompts else None
        results = file.with_suffix(".json")
        result = run.evaluate({"samples": SaveSamples(file)}, n=n, file=results, condition=condition)
        if jax.process_index() == 0:
            if prompts and len(run.shape) == 3:
                first = np.load(file)["data"][:CAPTIONED]
                captions = [prompts[i % len(prompts)] for i in range(len(first))]
                plots.captioned(first, captions, run.scaling.levels, path=file.with_suffix(".png"))
            picture = f" and {file.with_suffix('.png').name}" if file.with_suffix(".png").exists() else ""
            print(f"written {file} ({result['samples']['samples']} samples){picture}")


def told(run: Run, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Print the results, and return them."""
    for name, result in found.items():
        if result.get("failures") and "metrics" in result:
            print(
                f"step {run.step}: {name}: the sampler failed for {result['failures']} of {result['examples']} samples"
            )
        for metric, entry in result.get("metrics", {}).items():
            error = "" if entry["standard_error"] is None else f" ± {number(entry['standard_error'])}"
            floor = f", held-out data {number(entry['floor'])}" if "floor" in entry else ""
            print(f"step {run.step}: {metric} {number(entry['value'])}{error} (N {entry['n']:,}{floor})")
        if result.get("mean") is not None:
            error = f" ± {result['standard_error']:.4f}" if result.get("standard_error") is not None else ""
            failed = f" ({result['failures']} failed)" if result.get("failures") else ""
            print(f"step {run.step}: {name} {result['mean']:.4f}{error} {result.get('unit', '')}".rstrip() + failed)
    return found


def loaded(workdir: Path, experiment: Experiment, step: int, mode: str) -> Run:
    """The run, with the sampling and evaluation settings of the command line."""
    run = load(workdir, step, experiment.evaluation.weights)
    if jax.process_index() == 0:
        layout.note_launch(workdir, mode, step)
    return dataclasses.replace(run, experiment=experiment)


def steps_of(experiment: Experiment, workdir: Path) -> list[int]:
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
