"""The shipped model of Fashion-MNIST: samplers compared by paper-grade metrics, bits/dim, and a picture.

    apt-get install dataset-fashion-mnist
    python experiments/fashion_mnist/study.py                                 the model in the box; two hours of two cores
    python experiments/fashion_mnist/study.py --run=FOLDER --name=baseline    another run, such as baseline_torch.py's
    python experiments/fashion_mnist/study.py --only=DDIM-50,Heun-18          some samplers; what is done is not repeated

Features: EfficientNet-Lite0 at 64 pixels. Samples have each class in turn where the model is told a class. The floor is what
held-out images get in the place of samples. AuthPct searches all 60,000 training images. Conditional accuracy: by
``fashion_mnist_judge``, which never guides. Writes NAME.json, NAME.md and NAME.png beside this file; the state of unfinished
work is in runs/fashion_mnist_study.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import score_sde as ss
from score_sde import box, plots
from score_sde.evaluation import (
    BitsPerDim,
    ConditionalAccuracy,
    References,
    SampleQuality,
    SaveSamples,
    Subject,
    compare,
    evaluate,
    examples,
    features,
    samples,
)
from score_sde.experiment import Run

HERE = Path(__file__).parent
STATE = HERE.parents[1] / "runs" / "fashion_mnist_study"
METRICS = ("fd", "fd_jackknife", "kid", "precision", "recall", "coverage")
SHOWN = ("fd", "fd_jackknife", "kid", "precision", "recall", "coverage", "authpct", "accuracy")
KEY, IMAGES = jax.random.key(0), 2000
S = ss.samplers


def samplers(run: Run) -> dict[str, tuple[Callable[..., Any], dict[str, Any], int]]:
    """{name: (sampler, options, number of samples)}."""
    grid = partial(optimised, run, 9)
    return {
        "multistep-10": (S.dpm_solver, {"steps": 9, "order": 3}, 5000),
        "multistep-10, optimised grid": (S.dpm_solver, {"time_grid": grid, "order": 3}, 5000),
        "multistep-15": (S.dpm_solver, {"steps": 14, "order": 3}, 5000),
        "multistep-20": (S.dpm_solver, {"steps": 19, "order": 3}, 5000),
        "UniPC-20": (S.unipc, {"steps": 18, "order": 3}, 5000),
        "Heun-18": (S.heun, {"steps": 18}, 5000),
        "DDIM-50": (S.ddim, {"steps": 49}, 5000),
        "multistep-50": (S.dpm_solver, {"steps": 49, "order": 3}, 5000),
        "adaptive ODE": (S.ode, {"rtol": 1e-3, "atol": 1e-3}, 5000),
        "PC-1000": (S.predictor_corrector, {"steps": 999, "predictor": S.EulerMaruyama()}, 1000),
    }


def optimised(run: Run, steps: int) -> np.ndarray:
    """The grid of a model for multistep of order 3, kept in a file beside the results."""
    file = STATE / f"grid_{steps}_{ss.checkpoints.hash_of(ss.parameters.named(run.model))[:8]}.json"
    if not file.exists():
        condition = run.some_labels(32)
        solver = partial(S.dpm_solver, order=3)
        grid = S.grids.optimised(run.model, jax.random.key(9), steps, run.shape, solver, condition=condition)
        file.write_text(json.dumps(grid.tolist()) + "\n")
    return np.array(json.loads(file.read_text()))


def quality(run: Run, name: str, title: str, judge: Any) -> dict[str, Any]:
    """The metrics of one sampler."""
    sampler, options, n = samplers(run)[title]
    if callable(options.get("time_grid")):
        options = {**options, "time_grid": options["time_grid"]()}
    condition = run.some_labels(n)
    stream = samples(
        run.model, KEY, n, run.shape, run.scaling, condition=condition, batch_size=100, sampler=sampler, **options
    )
    references = References(run.source, STATE / "statistics", 250)
    measures: dict[str, Any] = {"quality": SampleQuality(references, metrics=METRICS)}
    measures["copies"] = SampleQuality(
        references, metrics=("authpct",), held_out=None, keep=60_000
    )  # all training images
    measures["pictures"] = SaveSamples(STATE / f"{name} {title}.npz")
    if condition is not None:
        measures["accuracy"] = ConditionalAccuracy(judge)
    file = STATE / f"{name} {title}.json"
    settings = {"sampler": f"{sampler.__name__}({options})"}
    found = evaluate(Subject(run.model, run.scaling), measures, stream, KEY, file, settings=settings)
    row = {**found["quality"]["metrics"], **found["copies"]["metrics"]}
    if condition is not None:
        mean, error = found["accuracy"]["mean"], found["accuracy"]["standard_error"]
        row["accuracy"] = {"value": mean, "standard_error": error, "n": n}
    return row


def copies_held_out(run: Run) -> dict[str, Any]:
    """AuthPct of held-out images in the place of samples."""
    seen = features.efficientnet_lite0()
    references = References(run.source, STATE / "statistics", 250)
    held_out, train = (references.statistics(split, seen, 60_000) for split in ("test", "train"))
    return compare(held_out.part(5000), train, ("authpct",))["authpct"]


def bits_per_dim(run: Run, name: str) -> dict[str, Any]:
    """Of the first test images, with the value of each for differences by pairs."""
    file = STATE / f"{name} likelihood.json"
    source = ss.data.Subset(run.source("test"), np.arange(IMAGES))
    subject = Subject(run.model, run.scaling, run.experiment.conditions)
    measures = {"bits": BitsPerDim(repeats=1, rtol=1e-4, atol=1e-4)}
    found = evaluate(subject, measures, examples(source, 100), jax.random.key(2), file)["bits"]
    with np.load(STATE / f"{name} likelihood_bits.npz") as arrays:
        each = arrays["per_dim"].mean(axis=1)
    return {
        "mean": found["mean"],
        "standard_error": found["standard_error"],
        "each": [round(float(v), 5) for v in each],
    }


def real_accuracy(run: Run, judge: Any) -> float:
    """The judge's accuracy on the test images."""
    test = run.source("test")
    right = []
    for i in range(0, len(test), 500):
        x = run.scaling.forward(
            test.data[i : i + 500], jax.random.split(jax.random.key(i), len(test.data[i : i + 500]))
        )
        right.append(np.argmax(np.asarray(judge.logits(x, judge.sde.t_min)), 1) == test.labels[i : i + 500])
    return float(np.concatenate(right).mean())


def table(results: dict[str, Any]) -> str:
    """Markdown: a row a sampler, the floor below."""
    lines = ["| sampler | N | " + " | ".join(SHOWN) + " |", "|---|---|" + "---|" * len(SHOWN)]
    floors: dict[str, float] = {}
    for title, row in results["samplers"].items():
        cells = []
        for metric in SHOWN:
            entry = row.get(metric)
            error = "" if entry is None or entry["standard_error"] is None else f" ± {entry['standard_error']:.2g}"
            cells.append("-" if entry is None else f"{entry['value']:.4g}{error}")
            if entry is not None and "floor" in entry and entry["n"] > 1000:
                floors[metric] = entry["floor"]
        lines.append(f"| {title} | {row['fd']['n']} | {' | '.join(cells)} |")
    floors["accuracy"] = results["held out"]["accuracy"]
    floors["authpct"] = results["held out"]["authpct"]["value"]
    cells = [f"{floors[metric]:.4g}" if metric in floors else "-" for metric in SHOWN]
    lines.append(f"| held-out images | 5000 | {' | '.join(cells)} |")
    if "bits_per_dim" in results:
        bits = results["bits_per_dim"]
        lines += ["", f"Bits/dim of {IMAGES} test images: {bits['mean']:.4f} ± {bits['standard_error']:.4f}."]
    return "\n".join(lines) + "\n"


def written(file: Path) -> dict[str, Any]:
    """The results so far."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"samplers": {}}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="fashion_mnist", help="a model in the box, a packed run, or a workdir")
    parser.add_argument("--name", default="results", help="of the files that are written")
    parser.add_argument("--only", default="", help="samplers, separated by semicolons; 'likelihood' for bits/dim")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    STATE.mkdir(parents=True, exist_ok=True)
    run = ss.pretrained(options.run) if options.run in box.names() else ss.load(options.run)
    judge = ss.pretrained("fashion_mnist_judge").model
    chosen = options.only.split(";") if options.only else [*samplers(run), "likelihood"]
    file = options.out / f"{options.name}.json"
    results = written(file)
    held_out = results.get("held out") or {"accuracy": real_accuracy(run, judge), "authpct": copies_held_out(run)}
    machine = {"run": options.run, "device": jax.devices()[0].device_kind, "jax": jax.__version__, "held out": held_out}
    for title in chosen:
        found = bits_per_dim(run, options.name) if title == "likelihood" else quality(run, options.name, title, judge)
        results = written(file) | machine  # read again: another process may have finished a sampler meanwhile
        if title == "likelihood":
            results["bits_per_dim"] = found
        else:
            results["samplers"][title] = found
        file.write_text(json.dumps(results, indent=1) + "\n")
        (options.out / f"{options.name}.md").write_text(table(results))
        print(table(results), flush=True)
    pictures = {"held out": run.source("test").data[:64]}
    kept = {title: STATE / f"{options.name} {title}.npz" for title in results["samplers"]}
    for title in [title for title, stored in kept.items() if stored.exists()][:4]:
        with np.load(kept[title]) as stored:
            pictures[title] = stored["data"][:64]
    plots.image_grids(pictures, 256, width=3.2 * len(pictures), path=options.out / f"{options.name}.png")


if __name__ == "__main__":
    main()
