"""The three best recipes of the digits on Fashion-MNIST, each for 20 minutes of two cores (``STEPS`` steps of 64).

    python experiments/recipes/fashion_mnist.py costs                  the time of an image, relative to the first recipe's
    python experiments/recipes/fashion_mnist.py train [NAME ...]       resumable; about 20 minutes each
    python experiments/recipes/fashion_mnist.py judge [NAME ...]       into fashion_mnist.json; ten minutes each

Figures: FD of EfficientNet-Lite0 at 64 pixels and KID, of 2,000 samples by a multistep method with 12 evaluations; bits/dim
of the first 250 test images.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

import score_sde as ss
from score_sde.evaluation import BitsPerDim, References, SampleQuality, Subject, evaluate, examples, samples
from score_sde.experiment import experiment_of
from score_sde.training import TrainState, make_train_step

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RUNS, COSTS, RESULTS = ROOT / "runs" / "recipes", HERE / "fashion_mnist_costs.json", HERE / "fashion_mnist.json"
STEPS, SAMPLES, IMAGES = 1300, 2000, 250
LEVELS = {"mean": -0.8, "std": 1.1}
RECIPES = {
    "batch 64, noisier": {"batch": 64, "levels": LEVELS},
    "batch 32, noisier": {"batch": 32, "levels": LEVELS},
    "batch 64, noisier, Muon": {"batch": 64, "levels": LEVELS, "rule": {"name": "muon"}},
    "batch 32, EDM's levels": {"batch": 32, "levels": {}},
}


def config_of(name: str, seed: int, steps: int) -> ConfigDict:
    """The config of a recipe."""
    sys.path.insert(0, str(ROOT))
    from configs import fashion_mnist

    recipe, config = RECIPES[name], fashion_mnist.get_config()
    config.seed, config.batches.batch_size = seed, recipe["batch"]
    config.loss = {
        "weighting": {"name": "edm", "sigma_data": 0.75, **recipe["levels"]},
        "times": {"name": "stratified", "times": {"name": "log_normal", **recipe["levels"]}},
    }
    if "rule" in recipe:
        config.optim.rule = recipe["rule"]
    config.training.update(steps=steps, evaluate_every=steps, checkpoint_every=300, snapshot_every=steps)
    config.logging = {"preview": 0, "tensorboard": False}
    return config


def steps_of(name: str) -> int:
    """Those that take the time of ``STEPS`` steps of 64 of the first recipe."""
    ratio = json.loads(COSTS.read_text())[name]
    return round(STEPS * 64 / RECIPES[name]["batch"] / ratio / 10) * 10


def costs(pairs: int = 5, images: int = 256) -> None:
    """The time of ``images`` images in training over the first recipe's, in turn: the median of pairs."""

    def program(name):
        experiment = experiment_of(config_of(name, 0, STEPS))
        optimizer, _ = experiment.optimizer()
        step = jax.jit(make_train_step(experiment.task, optimizer, experiment.averages), donate_argnums=0)
        memory = experiment.task.memory
        state = TrainState.create(experiment.task.init(jax.random.key(0)), optimizer, experiment.averages, memory)
        size = RECIPES[name]["batch"]
        batch = {key: jax.numpy.asarray(x) for key, x in experiment.source("train").take(np.arange(size)).items()}
        return [state, step, batch, jax.random.split(jax.random.key(0), size)]

    def seconds(made):
        began = time.perf_counter()
        for _ in range(images // len(made[3])):
            made[0], out = made[1](made[0], {}, made[2], made[3])
        jax.block_until_ready(out)
        return time.perf_counter() - began

    first, *others = RECIPES
    base, found = program(first), {first: 1.0}
    seconds(base)
    for name in others:
        alike = [other for other in found if RECIPES[other] | {"levels": 0} == RECIPES[name] | {"levels": 0}]
        if alike:  # only the levels differ
            found[name] = found[alike[0]]
        else:
            own = program(name)
            seconds(own)
            found[name] = round(statistics.median(seconds(own) / seconds(base) for _ in range(pairs)), 3)
        print(name, found[name], flush=True)
        COSTS.write_text(json.dumps(found, indent=1) + "\n")


def judge(name: str, seed: int) -> None:
    """FD, KID and bits/dim into the file of results."""
    title = f"{name}, seed {seed}"
    run = ss.load(RUNS / title.replace(" ", "_"))
    subject = Subject(run.model, run.scaling, run.experiment.conditions)
    options = {"sampler": ss.samplers.dpm_solver, "steps": 11, "order": 3, "batch_size": 100}
    stream = samples(
        run.model,
        jax.random.key(0),
        SAMPLES,
        run.shape,
        run.scaling,
        condition=run.some_labels(SAMPLES),
        **options,
    )
    quality = {"quality": SampleQuality(References(run.source, RUNS / "statistics", 250), metrics=("fd", "kid"))}
    file = RUNS / f"{title.replace(' ', '_')}.json"
    settings = {"sampler": "dpm_solver, 12 evaluations, order 3"}
    of_samples = evaluate(Subject(run.model, run.scaling), quality, stream, jax.random.key(0), file, settings=settings)
    held_out = ss.data.Subset(run.source("test"), np.arange(IMAGES))
    bits = {"bits": BitsPerDim(repeats=1, rtol=1e-3, atol=1e-3)}
    of_images = evaluate(subject, bits, examples(held_out, 100), jax.random.key(2))["bits"]
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known[title] = {
        "steps": steps_of(name),
        "fd": {key: of_samples["quality"]["metrics"]["fd"][key] for key in ("value", "standard_error", "floor")},
        "kid": {key: of_samples["quality"]["metrics"]["kid"][key] for key in ("value", "standard_error")},
        "bits_per_dim": {key: of_images[key] for key in ("mean", "standard_error")},
    }
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")
    print(title, known[title], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("costs", "train", "judge"))
    parser.add_argument("names", nargs="*", help="; ".join(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.what == "costs":
        costs()
        return
    for name in options.names or RECIPES:
        if options.what == "train":
            steps = steps_of(name)
            ss.train(config_of(name, options.seed, steps), RUNS / f"{name}, seed {options.seed}".replace(" ", "_"))
        else:
            judge(name, options.seed)


if __name__ == "__main__":
    main()
