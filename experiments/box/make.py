"""The models in the box: how each was trained, packed and measured. ``ss.pretrained()`` lists what is there.

    python experiments/box/make.py train digits digits_weak ...      by the package's own commands; resumable
    python experiments/box/make.py pack digits digits_weak ...       into score_sde/box/NAME: float16 weights, config, card
    python experiments/box/make.py measure digits digits_weak ...    figures of exactly these weights, into the card

Without names: all. Only final weights are committed, once.
"""

import argparse
import dataclasses
import importlib
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

import score_sde as ss
from score_sde import box
from score_sde.data.source import mixed
from score_sde.evaluation import AccuracyPerLevel, Agreement, BitsPerDim, HeldOutLoss, Subject, evaluate, examples
from score_sde.experiment import Figure, Run, pack
from score_sde.experiment.card import write_card
from score_sde.objects import import_object

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "box"
MACHINE = "two shared CPU cores"
sys.path.insert(0, str(ROOT / "experiments" / "quickstart"))
Figures = dict[str, Figure]


@dataclasses.dataclass(frozen=True)
class Model:
    """A config by name, what to say of the model, its data, and the function that measures it."""

    config: str
    title: str
    about: str
    data: tuple[str, str]
    measure: Callable[[Run, str], Figures]
    options: str = ""
    """Of the command, after its config and workdir."""


def of_digits(run: Run, command: str) -> Figures:
    """The figures of experiments/quickstart/judge.py: means over eight draws of 355, and exact bits/dim."""
    import judge

    draws = []
    for draw in range(8):
        out = run.sample(jax.random.key(100 + draw), 355, condition=run.some_labels(355))
        draws.append(judge.figures(np.asarray(run.to_images(out.x))))
    found = {}
    for name in ("recognised", "frechet", "nearest"):
        values = [draw[name] for draw in draws]
        found[name] = _figure(np.mean(values), f"eight draws: {min(values):.2f} to {max(values):.2f}", command)
    return found | bits_per_dim(run, command, 355)


def of_few_steps(run: Run, command: str) -> Figures:
    """The figures of experiments/few_steps/digits.py at one and two evaluations: means over eight draws of 355."""
    import judge

    found = {}
    for steps in (1, 2):
        draws = []
        for draw in range(8):
            out = run.sample(jax.random.key(100 + draw), 355, condition=run.some_labels(355), steps=steps)
            draws.append(judge.figures(np.asarray(run.to_images(out.x))))
        for name in ("recognised", "frechet", "nearest"):
            values = [draw[name] for draw in draws]
            about = f"eight draws: {min(values):.2f} to {max(values):.2f}"
            found[f"{name}, evaluations: {steps}"] = _figure(np.mean(values), about, command)
    return found


def bits_per_dim(run: Run, command: str, images: int) -> Figures:
    """Of the first held-out images, one dequantisation."""
    source = ss.data.Subset(run.source("test"), np.arange(images))
    subject = Subject(run.model, run.scaling, run.experiment.conditions)
    measures = {"bits": BitsPerDim(repeats=1, rtol=1e-4, atol=1e-4)}
    found = evaluate(subject, measures, examples(source, 100), jax.random.key(2))["bits"]
    return {"bits/dim": _figure(found["mean"], f"± {found['standard_error']:.3f}, {images} held-out images", command)}


def of_classifier(run: Run, command: str) -> Figures:
    """Its accuracy on held-out examples: nearly clean, and over all noise levels of its training."""
    subject = Subject(run.model, run.scaling, run.experiment.conditions, None)
    source = run.source("test")
    levels = evaluate(
        subject, {"accuracy": AccuracyPerLevel()}, examples(source, 250), jax.random.key(2), progress=True
    )["accuracy"]
    clean = levels["accuracy"][0] if levels["log_snr"][0] > levels["log_snr"][-1] else levels["accuracy"][-1]
    error = float(np.sqrt(clean * (1 - clean) / levels["examples"]))
    return {"accuracy at the lowest noise": _figure(clean, f"± {error:.3f}, {levels['examples']} held-out", command)}


def held_out_loss(run: Run, command: str) -> Figures:
    """The training loss on held-out data, for models without other figures."""
    found = run.evaluate({"loss": HeldOutLoss()})["loss"]
    return {"held-out loss": _figure(found["mean"], f"± {found['standard_error']:.4f}", command)}


def of_conditions(run: Run, command: str) -> Figures:
    """The share of samples that agree with what they are told, on held-out examples, as the config's judge decides: with the
    config's guidance, without, and told what another example is.
    """
    told = run.config.measures.agreement
    source = run.source("test")
    images = ss.data.Subset(source, mixed(min(512, len(source)), len(source)))
    subject = Subject(run.model, run.scaling, run.experiment.conditions)
    scale = 1.0 if run.config.guidance is None else run.config.guidance.scale
    settings = {f"at scale {scale:g}": (scale, False), "at scale 1": (1.0, False), "shuffled": (scale, True)}
    found = {}
    for name, (w, shuffled) in settings.items():
        measure = Agreement(
            import_object(told.judge), scale=w, shuffled=shuffled, first=None, sampler=run.experiment.sampler
        )
        value = evaluate(subject, {"agreement": measure}, examples(images, 128), jax.random.key(2))["agreement"]
        about = f"± {value['standard_error']:.3f}, {len(images)} held-out conditions"
        found[f"agreement {name}"] = _figure(value["mean"], about, command)
    return found


def of_fashion(run: Run, command: str) -> Figures:
    """Bits/dim; the figures of samples are those of experiments/fashion_mnist."""
    return bits_per_dim(run, command, 250)


DIGITS, FASHION = ("Digits of scikit-learn, 8 x 8", "CC BY 4.0"), ("Fashion-MNIST, 28 x 28", "MIT")
PHOTOS = ("photo_patches, 32 x 32 (score_sde/data/embedded/photos.md)", "public domain, CC0, CC BY 4.0")
MODELS = {
    "digits": Model("quickstart", "Digits", "The quickstart's model, unconditional.", DIGITS, of_digits),
    "digits_weak": Model(
        "digits_weak", "Digits, weak", "Smaller and trained less than digits, for autoguidance.", DIGITS, of_digits
    ),
    "digits_conditional": Model(
        "digits_conditional", "Digits by class", "Told the class, or none (label 10).", DIGITS, of_digits
    ),
    "digits_classifier": Model(
        "digits_classifier", "Classifier of noisy digits", "Guides a model of digits.", DIGITS, of_classifier
    ),
    "digits_judge": Model(
        "digits_judge", "Classifier of clean digits", "Judges samples; it never guides.", DIGITS, of_classifier
    ),
    "digits_fast": Model(
        "few_step/digits",
        "Digits by class in one or two evaluations",
        "A student of digits_conditional: a flow map. Draw with few_step, its sampler; without a label use label 10.",
        DIGITS,
        of_few_steps,
        "--config.seed=0 --config.training.steps=3960",
    ),
    "fashion_mnist": Model(
        "fashion_mnist", "Fashion-MNIST", "Told the class, or none (label 10).", FASHION, of_fashion
    ),
    "fashion_mnist_weak": Model(
        "fashion_mnist_weak",
        "Fashion-MNIST, weak",
        "Smaller and trained less than fashion_mnist, for autoguidance.",
        FASHION,
        of_fashion,
    ),
    "fashion_mnist_classifier": Model(
        "fashion_mnist_classifier", "Classifier of noisy Fashion-MNIST", "Guides a model.", FASHION, of_classifier
    ),
    "fashion_mnist_judge": Model(
        "fashion_mnist_judge", "Classifier of clean Fashion-MNIST", "Judges samples.", FASHION, of_classifier
    ),
    "shapes": Model(
        "conditional/shapes",
        "Shapes from a caption",
        "Told a caption, such as 'a small red circle at the top left', or none.",
        ("shapes, 32 x 32, drawn by a formula (score_sde/data/sources/shapes.py)", "Apache-2.0"),
        of_conditions,
    ),
    "photo_patches": Model(
        "photo_patches", "Photo patches", "Unconditional, a prior for inverse problems.", PHOTOS, held_out_loss
    ),
}


def command_of(name: str) -> str:
    """How a person would train it."""
    model = MODELS[name]
    return f"python main.py --config=configs/{model.config}.py --workdir=runs/box/{name} {model.options}".strip()


def train(name: str, overrides: list[str]) -> None:
    """Train, or go on; the hours are kept beside the workdir."""
    clock = RUNS / f"{name}.json"
    before = json.loads(clock.read_text())["hours"] if clock.exists() else 0.0
    began = time.monotonic()
    words = [sys.executable, *command_of(name).split()[1:], *overrides]
    done = subprocess.run(words, cwd=ROOT, check=False).returncode
    clock.write_text(json.dumps({"hours": before + (time.monotonic() - began) / 3600}) + "\n")
    if done != 0:
        sys.exit(f"{name}: training ended with {done}; the same command goes on")


def packed(name: str) -> None:
    """Write the model of the newest checkpoint, averaged weights, into the box."""
    model, clock = MODELS[name], json.loads((RUNS / f"{name}.json").read_text())
    run = ss.load(RUNS / name)
    card = pack(
        run,
        box.BOX / name,
        title=model.title,
        about=model.about,
        data=model.data[0],
        licence=model.data[1],
        command=command_of(name),
        hours=round(clock["hours"], 3),
        machine=f"{clock.get('machine', MACHINE)}, Python {platform.python_version()}, JAX {jax.__version__}",
    )
    size = (box.BOX / name / "weights.safetensors").stat().st_size
    print(f"{name}: {card.parameters:,} parameters, {size / 1e6:.2f} MB")


def measure(name: str) -> None:
    """Measure the packed weights, and write the figures into their card."""
    run = ss.pretrained(name)
    figures = MODELS[name].measure(run, f"python experiments/box/make.py measure {name}")
    assert run.card is not None
    card = run.card.with_figures(figures)
    write_card(box.BOX / name / "card.json", card)
    print(card)


def _figure(value: float, uncertainty: str, command: str) -> Figure:
    return Figure(round(float(value), 4), uncertainty, command, MACHINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "pack", "measure"))
    parser.add_argument("names", nargs="*", help=", ".join(MODELS))
    options, overrides = parser.parse_known_args()
    sys.path.insert(0, str(ROOT))
    for name in options.names or MODELS:
        importlib.import_module(f"configs.{MODELS[name].config.replace('/', '.')}")
        if options.what == "train":
            train(name, overrides)
        else:
            {"pack": packed, "measure": measure}[options.what](name)


if __name__ == "__main__":
    main()
