"""--mode=restore: measure images, draw from the posterior given each measurement, and show both beside the originals."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from score_sde import evaluation, plots
from score_sde.data import Subset
from score_sde.evaluation import PosteriorDraws, Subject, examples
from score_sde.evaluation.posterior_draws import KEPT
from score_sde.evaluation.unit_range import ends
from score_sde.experiment.evaluate import loaded, steps_of, told
from score_sde.experiment.loading import experiment_of
from score_sde.experiment.pictures import pictures
from score_sde.experiment.run import Run
from score_sde.files import written_whole

SHOWN = 8
"""The images in the picture."""


def restore(
    config: Mapping[str, Any] | ConfigDict, workdir: str | Path, images: str | None = None, folder: str = "restore"
) -> dict[int, Any]:
    """Restore ``images`` (a folder, a file or a source; by default the split of config.evaluation) as config.restore says.

    FOLDER/STEP.json has the metrics, FOLDER/STEP_draws.npz the arrays of ``PosteriorDraws``, FOLDER/STEP_draws.png the first
    images. A restoration that was killed resumes.
    """
    workdir, experiment = Path(workdir), experiment_of(config)
    measure, results = experiment.restoration, {}
    for step in steps_of(experiment, workdir):
        run, file = loaded(workdir, experiment, step, "restore"), workdir / folder / f"{step}.json"
        source = run.source(experiment.evaluation.split) if images is None else pictures(run, images)
        used = Subset(source, np.arange(min(len(source), measure.first or len(source))))
        subject = Subject(run.model, run.scaling, experiment.conditions)
        stream = examples(used, experiment.evaluation.batch_size)
        found = evaluation.evaluate(subject, {"draws": measure}, stream, jax.random.key(experiment.config.seed), file)
        results[step] = told(run, found)
        _note_failures(step, found["draws"])
        if jax.process_index() == 0:
            arrays, picture = file.with_name(f"{step}_draws.npz"), file.with_name(f"{step}_draws.png")
            show(arrays, measure, run, picture)
            print(f"written {file}, {arrays.name} ({', '.join(KEPT)}) and {picture.name}")
    return results


def _note_failures(step: int, found: Mapping[str, Any]) -> None:
    """Say what draws that failed may mean."""
    failed, drawn = found["failed draws"], found["draws"] * found["examples"]
    if failed:
        print(
            f"step {step}: {failed} of {drawn} draws failed and count as they are: the state became non-finite, the linear "
            "solver left more than its tolerance (method.solver.iterations, or another method), or the weights of the "
            "particles collapsed onto one (method.particles, method.steps)"
        )


def show(arrays: Path, measure: PosteriorDraws, run: Run, path: Path) -> None:
    """The first images in rows: original, measurement, draws, mean, deviation (white is the largest)."""
    with np.load(arrays) as stored:
        first = {name: stored[name][:SHOWN] for name in ("original", "seen", "draws", "mean", "deviation")}
    draws = {f"draw {d + 1}": first["draws"][:, d] for d in range(min(measure.draws, 4))}
    shown = {"original": first["original"], "measurement": first["seen"], **draws, "mean": first["mean"]}
    low, high = ends(run.scaling)
    columns = {title: np.clip((x - low) / (high - low), 0, 1) for title, x in shown.items()}
    deviation = first["deviation"]
    columns["deviation"] = deviation / max(float(deviation.max()), 1e-12)
    whole = {title: np.round(255 * np.nan_to_num(x)).astype(np.uint8) for title, x in columns.items()}
    with written_whole(path) as part:
        plots.image_grids(whole, 256, columns=1, width=1.1 * len(whole), path=part)
