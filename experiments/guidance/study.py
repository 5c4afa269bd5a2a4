"""Accuracy and distance against scale for four kinds of guidance, on the box's models by class.

    apt-get install dataset-fashion-mnist
    python experiments/guidance/study.py digits             # ten minutes on one core
    python experiments/guidance/study.py fashion_mnist      # about an hour on one core, resumable
    python experiments/guidance/study.py show               # results.md and guidance.png

classifier-free   towards the class, away from no class (Ho & Salimans 2021); also in σ/α of ``INTERVAL`` alone
projected         the same without what is parallel to x̂ (Sadat et al. 2024)
classifier        along ∇ log p(y | x_t) of the box's classifier of noisy images (Dhariwal & Nichol 2021)
auto              away from the box's weak model (Karras et al. 2024)

All scales have the same latents. A judge that no guidance knows assigns classes; the Fréchet distance is to the training
images, in the features of ``FEATURES``.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np

import score_sde as ss
from score_sde.evaluation import ConditionalAccuracy, References, SampleQuality, Subject, evaluate, features, samples
from score_sde.experiment import Run

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
STATE, RESULTS = HERE.parents[1] / "runs" / "guidance", HERE / "results.json"
SCALES, STEPS, N = (1.0, 1.5, 2.0, 3.0, 5.0), 15, 2000
INTERVAL = (0.2, 3.0)
MODELS = {"digits": ("digits_conditional", "digits_weak"), "fashion_mnist": ("fashion_mnist", "fashion_mnist_weak")}
FEATURES = {"digits": "pixels", "fashion_mnist": "EfficientNet-Lite0's at 64 pixels"}
COLORS = {
    "classifier-free": "tab:blue",
    "classifier-free, interval": "tab:cyan",
    "projected": "tab:green",
    "classifier": "tab:orange",
    "auto": "tab:red",
}


def kinds(data: str, run: Run) -> dict[str, Callable[[float], Any]]:
    """Each kind as a function from scale to denoiser; at w = 1 all are the model itself."""
    null = {"label": 10}
    weak, noisy = ss.pretrained(MODELS[data][1]), ss.pretrained(f"{data}_classifier")
    told = tuple(weak.experiment.conditions.leaves)
    return {
        "classifier-free": lambda w: ss.guidance.classifier_free(run.model, w, null=null),
        "classifier-free, interval": lambda w: ss.guidance.classifier_free(run.model, w, null=null, interval=INTERVAL),
        "projected": lambda w: ss.guidance.projected(run.model, w, null=null),
        "classifier": lambda w: ss.guidance.classifier(run.model, noisy.model, w - 1, keep=True),
        "auto": lambda w: ss.guidance.auto(run.model, weak.model, w, leaves=told),
    }


def measured(run: Run, model: Any, judge: Any, data: str, title: str) -> dict[str, Any]:
    """Accuracy and FD of N samples, each class in turn."""
    condition = run.some_labels(N)
    options = {"sampler": ss.samplers.dpm_solver, "steps": STEPS - 1, "order": 2, "batch_size": 100}
    stream = samples(model, jax.random.key(0), N, run.shape, run.scaling, condition=condition, **options)
    seen = features.pixels() if data == "digits" else features.efficientnet_lite0()
    quality = SampleQuality(References(run.source, STATE / "statistics", 250), metrics=("fd", "recall"), features=seen)
    measures = {"quality": quality, "accuracy": ConditionalAccuracy(judge)}
    file = STATE / f"{data} {title}.json".replace(" ", "_")
    found = evaluate(Subject(model, run.scaling), measures, stream, jax.random.key(0), file)
    of_samples = found["quality"]["metrics"]
    return {
        "accuracy": [found["accuracy"]["mean"], found["accuracy"]["standard_error"]],
        **{name: [of_samples[name]["value"], of_samples[name]["standard_error"]] for name in ("fd", "recall")},
        "floor": of_samples["fd"].get("floor"),
    }


def real_accuracy(run: Run, judge: Any) -> float:
    """The judge's accuracy on the test images."""
    test = run.source("test")
    keys = jax.random.split(jax.random.key(0), len(test.data))
    logits = jax.jit(lambda x: judge.logits(x, judge.sde.t_min))
    right = [
        np.argmax(np.asarray(logits(run.scaling.forward(test.data[i : i + 500], keys[i : i + 500]))), 1)
        == test.labels[i : i + 500]
        for i in range(0, len(test), 500)
    ]
    return float(np.concatenate(right).mean())


def study(data: str) -> None:
    """All kinds and scales, each into the file of results as it is done."""
    run, judge = ss.pretrained(MODELS[data][0]), ss.pretrained(f"{data}_judge").model
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known = results.setdefault(data, {"accuracy of real images": real_accuracy(run, judge), "kinds": {}})
    for kind, guided in kinds(data, run).items():
        rows = known["kinds"].setdefault(kind, {})
        for w in SCALES:
            if str(w) not in rows:
                others = (other[str(w)] for other in known["kinds"].values() if str(w) in other)
                same = next(others, None) if w == 1 else None
                rows[str(w)] = same or measured(run, guided(w), judge, data, f"{kind} {w}")
                print(data, kind, w, rows[str(w)], flush=True)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def show() -> None:
    """The table, and FD and accuracy against scale."""
    results = json.loads(RESULTS.read_text())
    lines = [f"{N} samples of {STEPS} calls of the guided model; jax {jax.__version__}, {jax.default_backend()}."]
    figure, axes = plt.subplots(len(results), 3, figsize=(11, 3.3 * len(results)), squeeze=False, layout="constrained")
    for (data, found), row in zip(results.items(), axes, strict=True):
        lines += [
            "",
            f"## {data}",
            "",
            f"The judge's accuracy on real images: {found['accuracy of real images']:.3f}.",
            "",
        ]
        lines += ["| guidance | w | accuracy | FD | recall |", "|---|---|---|---|---|"]
        for kind, of_kind in found["kinds"].items():
            for w, values in of_kind.items():
                cells = [_cell(*values[name]) for name in ("accuracy", "fd", "recall")]
                lines.append(f"| {kind} | {w} | {' | '.join(cells)} |")
            scales = np.array([float(w) for w in of_kind])
            for axis, name in zip(row, ("accuracy", "fd", "recall"), strict=True):
                mean, error = (np.array([v[name][i] or 0.0 for v in of_kind.values()]) for i in (0, 1))
                axis.errorbar(scales, mean, 1.96 * error, marker="o", ms=4, capsize=2, color=COLORS[kind], label=kind)
        row[0].axhline(found["accuracy of real images"], color="0.6", ls=":")
        titles = ("share of samples in their class", f"Fréchet distance ({FEATURES[data]})", "recall")
        for axis, title in zip(row, titles, strict=True):
            axis.set(title=f"{data}: {title}", xlabel="scale w")
            axis.title.set_fontsize(10)
    axes[0, 0].legend(fontsize=8)
    figure.savefig(HERE / "guidance.png", dpi=110)
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


def _cell(value: float, error: float | None) -> str:
    return f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=(*MODELS, "show"))
    what = parser.parse_args().what
    show() if what == "show" else study(what)


if __name__ == "__main__":
    main()
