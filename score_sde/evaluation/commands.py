"""--mode=eval and --mode=sample, over the checkpoints that the config asks for. What is done already is not done again."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from score_sde import likelihood
from score_sde import run as runs
from score_sde import workdir as layout
from score_sde.config import build_sampler, get, sample_shape
from score_sde.files import written_whole
from score_sde.samplers.generate import generate
from score_sde.training.evaluate import HeldOut


def evaluate(config: ConfigDict, workdir: Path, folder: str) -> None:
    """Loss, bits per dimension and samples, as config.eval enables them; one JSON file for each checkpoint."""
    workdir = Path(workdir)
    for step in _steps(config, workdir):
        run = _load(workdir, config, step)
        layout.note_launch(workdir, "eval", step)
        file = workdir / folder / f"{step}.json"
        report: dict[str, Any] = {"step": step, "weights": run.weights}
        if config.eval.enable_loss:
            held_out = HeldOut(config, run.scaling)
            report |= held_out.whole_loss(run.model)
            log_snr, values = held_out.per_level(run.model)
            report["loss_per_level"] = {"log_snr": log_snr.tolist(), "loss": values.tolist()}
            print(f"step {step}: held-out loss {report['loss']:.4f} ± {report['loss_standard_error']:.4f}")
        if config.eval.enable_bpd:
            report["likelihood"] = _bits_per_dim(run, config, workdir / folder / f"{step}_likelihood.json")
        if config.eval.enable_sampling:
            _sample(run, config, workdir / folder, config.eval.num_samples)
        with written_whole(file) as part:
            part.write_text(json.dumps(report, indent=1) + "\n")
        print(f"written {file}")


def sample(config: ConfigDict, workdir: Path, folder: str, n: int) -> None:
    """N samples by the config's sampler: all of them as .npz, the first hundred as a picture."""
    workdir = Path(workdir)
    for step in _steps(config, workdir):
        layout.note_launch(workdir, "sample", step)
        _sample(_load(workdir, config, step), config, workdir / folder, n)


def _steps(config: ConfigDict, workdir: Path) -> list[int]:
    """The steps of config.eval.steps: "newest", "all", "snapshots" (begin_ckpt to end_ckpt), a step or several."""
    there = runs.saved_steps(workdir)
    if not there:
        raise ValueError(f"{workdir} has no checkpoint to evaluate; train first, or correct --workdir")
    chosen = get(config, "eval.steps", "newest")
    if chosen == "newest":
        return there[-1:]
    if chosen == "all":
        return there
    if chosen == "snapshots":
        every = config.training.snapshot_freq
        wanted = range(config.eval.begin_ckpt * every, config.eval.end_ckpt * every + 1, every)
        steps = [step for step in wanted if step in there]
        if not steps:
            raise ValueError(
                f"{workdir} has none of the snapshots {config.eval.begin_ckpt} to {config.eval.end_ckpt} (config.eval."
                f"begin_ckpt, end_ckpt; each {every} steps); it has the steps {', '.join(map(str, there))}"
            )
        return steps
    steps = [chosen] if isinstance(chosen, int) else list(chosen)
    missing = [step for step in steps if step not in there]
    if isinstance(chosen, str) or missing:
        raise ValueError(
            f'config.eval.steps = {chosen!r}; allowed: "newest", "all", "snapshots", or steps of {workdir}: '
            f"{', '.join(map(str, there))}"
        )
    return steps


def _load(workdir: Path, config: ConfigDict, step: int) -> runs.Run:
    """The run, with what the command line changed about sampling and evaluation."""
    loaded = runs.load(workdir, step, get(config, "eval.weights", "ema"))
    return runs.Run(loaded.model, config, step, loaded.weights, workdir)


def _bits_per_dim(run: runs.Run, config: ConfigDict, progress: Path) -> dict[str, Any]:
    """Over a whole split; what a run that was killed had finished is in ``progress`` and is not done again."""
    split = config.eval.bpd_dataset
    result = likelihood.evaluate(
        run.model,
        run.source(config.data.eval_split if split == "test" else split),
        jax.random.key(config.seed),
        run.scaling,
        progress,
        repeats=config.eval.bpd_repeats,
        batch_size=config.eval.batch_size,
        condition=run.condition_of,
        **config.eval.bpd_options,
    )
    error = result["standard_error"] or float("nan")
    print(f"step {run.step}: {result['mean']:.4f} ± {error:.4f} {result['unit']} ({result['failures']} failed)")
    return result


def _sample(run: runs.Run, config: ConfigDict, folder: Path, n: int) -> None:
    from score_sde import plots

    condition = run.some_labels(n)
    batches = generate(
        run.guided(condition),
        jax.random.key(config.seed),
        n,
        sample_shape(config),
        sampler=build_sampler(config),
        batch_size=min(config.eval.batch_size, n),
        condition=condition,
    )
    images = np.concatenate([np.asarray(run.to_images(batch.x)) for batch in batches])
    labels = {} if condition is None else {"label": np.asarray(condition["label"])}
    file = folder / f"samples_{run.step}.npz"
    with written_whole(file) as part, part.open("wb") as stream:
        np.savez(stream, data=images, **labels)  # type: ignore[arg-type]
    plots.save_samples(folder / f"samples_{run.step}.png", images[:100], run.scaling.levels, columns=10)
    print(f"written {file} ({n} samples) and {file.with_suffix('.png').name}")
