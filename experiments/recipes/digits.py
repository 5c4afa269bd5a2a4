"""Which recipe learns the digits best in equal time? One change to a base recipe at a time, three seeds each.

    python experiments/recipes/digits.py costs                     the time of a step of each recipe, relative to the base's
    python experiments/recipes/digits.py train [--workers=2]       everything that results.json lacks; 25 minutes a seed
    python experiments/recipes/digits.py table                     results.md and recipes.png from results.json

Equal time: a recipe whose step takes r times as long gets 1/r of the base's steps, ``STEPS``, about half of the
quickstart's. r is the median of paired measurements, so that a busy machine does not change the results. Each worker has
one core. Figures: those of experiments/quickstart/judge.py; Fréchet is the mean of eight draws of 355.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COSTS, RESULTS = HERE / "costs.json", HERE / "results.json"
STEPS, SEEDS, DRAWS, IMAGES = 1200, (0, 1, 2), 8, 128
AVERAGES = {
    "ema": {"rate": 0.998},
    "ema_995": {"rate": 0.995},
    "ema_999": {"rate": 0.999},
    "power_05": {"name": "power", "width": 0.05},
    "power_10": {"name": "power", "width": 0.10},
    "power_20": {"name": "power", "width": 0.20},
}
"""Averages of the base recipe, all kept in the same training."""


def loss(weighting, times, **options):
    """A loss section with stratified times."""
    named = {"name": times, **options}
    return {"loss": {"weighting": weighting, "times": {"name": "stratified", "times": named}}}


EDM = {"name": "edm", "sigma_data": 0.75}
RECIPES = {
    "base": {},
    "predicts noise": {
        "denoiser": {"predicts": "noise", "noise_level": "log_noise_level"},
        **loss("score_matching", "uniform"),
    },
    "predicts v": {"denoiser": {"predicts": "v", "noise_level": "log_noise_level"}},
    "min-SNR weights": loss({"name": "min_snr"}, "uniform"),
    "likelihood weights": loss("likelihood", "log_snr_uniform"),
    "noisier levels": loss({**EDM, "mean": -0.4, "std": 1.0}, "log_normal", mean=-0.4, std=1.0),
    "cleaner levels": loss({**EDM, "mean": -1.8, "std": 1.4}, "log_normal", mean=-1.8, std=1.4),
    "uniform times": loss(EDM, "uniform"),
    "lr 0.001": {"optim.lr": 1e-3},
    "lr 0.002": {"optim.lr": 2e-3},
    "lr 0.008": {"optim.lr": 8e-3},
    "AdamW": {"optim.rule": {"name": "adamw", "weight_decay": 0.1}},
    "Muon": {"optim.rule": {"name": "muon"}},
    "Muon, lr 0.02": {"optim.rule": {"name": "muon", "adam": 0.2}, "optim.lr": 2e-2},
    "schedule-free": {"optim.rule": {"name": "schedule_free"}, "optim.decay": "constant"},
    "batch 32": {"batches.batch_size": 32},
    "batch 128": {"batches.batch_size": 128},
    "wider": {"network.nf": 32},
    "narrower, deeper": {"network.nf": 16, "network.num_res_blocks": 2},
    "dropout 0.1": {"network.dropout": 0.1},
}
"""Changes to the base, the quickstart's recipe before this study: a section replaced, or one field by its path."""
SMALL, MUON = {"batches.batch_size": 32}, {"optim.rule": {"name": "muon", "adam": 0.2}, "optim.lr": 2e-2}
BETWEEN = loss({**EDM, "mean": -0.8, "std": 1.1}, "log_normal", mean=-0.8, std=1.1)
RECIPES |= {
    "batch 16": {"batches.batch_size": 16},
    "batch 32, noisier": SMALL | BETWEEN,
    "batch 32, Muon": SMALL | MUON,
    "batch 32, Muon, noisier": SMALL | MUON | BETWEEN,
    "batch 32, Muon, noisier, v": SMALL
    | MUON
    | BETWEEN
    | {"denoiser": {"predicts": "v", "noise_level": "log_noise_level"}},
}
"""The winners together."""
FAR = ("predicts noise", "min-SNR weights", "likelihood weights", "uniform times", "cleaner levels", "batch 128")
"""Recipes whose first seed was far behind the base's; they got no others."""


def config_of(name: str, seed: int, steps: int):
    """The config of a recipe."""
    sys.path.insert(0, str(ROOT))
    from configs import quickstart

    config = quickstart.get_config()
    config.batches.batch_size, config.loss = 64, loss(EDM, "log_normal")["loss"]  # the quickstart before this study
    for path, value in RECIPES[name].items():
        section, _, field = path.partition(".")
        if field:
            config[section][field] = value
        else:
            config[section] = value
    config.seed = seed
    config.averages = AVERAGES if name == "base" else {"ema": AVERAGES["ema"]}
    config.training.update(steps=steps, evaluate_every=steps, checkpoint_every=steps, snapshot_every=steps)
    config.logging = {"preview": 0, "tensorboard": False}
    return config


def costs(pairs: int = 9, calls: int = 6) -> None:
    """Measure the recipes that costs.json lacks against the base, in turn; where only the loss differs, the ratio is 1."""
    import jax
    import numpy as np

    from score_sde.experiment.loading import experiment_of
    from score_sde.training import TrainState, make_train_step

    def ready(name):
        experiment = experiment_of(config_of(name, 0, STEPS))
        optimizer, _ = experiment.optimizer()
        averages = dict(list(experiment.averages.items())[:1])
        step = jax.jit(make_train_step(experiment.task, optimizer, averages), donate_argnums=0)
        state = TrainState.create(experiment.task.init(jax.random.key(0)), optimizer, averages, experiment.task.memory)
        size = experiment.config.batches.batch_size
        batch = {name: jax.numpy.asarray(x) for name, x in experiment.source("train").take(np.arange(size)).items()}
        return {"state": state, "step": step, "batch": batch, "keys": jax.random.split(jax.random.key(0), size)}

    def seconds(program):
        began = time.perf_counter()
        for _ in range(calls):
            program["state"], out = program["step"](program["state"], {}, program["batch"], program["keys"])
        jax.block_until_ready(out)
        return (time.perf_counter() - began) / calls

    base, found = ready("base"), json.loads(COSTS.read_text()) if COSTS.exists() else {"base": {"ratio": 1.0}}
    seconds(base)
    for name in RECIPES:
        if name in found:
            continue
        if not any(path.startswith(("optim.rule", "batches", "network")) for path in RECIPES[name]):
            found[name] = {"ratio": 1.0}
            continue
        own = ready(name)
        seconds(own)
        ratios, times = [], []
        for _ in range(pairs):
            times.append(seconds(own))
            ratios.append(times[-1] / seconds(base))
        found[name] = {"ratio": round(statistics.median(ratios), 3), "seconds": round(statistics.median(times), 4)}
        print(name, found[name], flush=True)
        COSTS.write_text(json.dumps(found, indent=1) + "\n")


def one(name: str, seed: int, workdir: Path) -> dict:
    """Train and judge: {weights: figures}."""
    import jax
    import numpy as np

    import score_sde as ss

    sys.path.insert(0, str(ROOT / "experiments" / "quickstart"))
    import judge

    steps = round(STEPS / json.loads(COSTS.read_text())[name]["ratio"] / 10) * 10
    began = time.perf_counter()
    workdir = workdir / "run"
    ss.train(config_of(name, seed, steps), workdir)
    trained = time.perf_counter() - began
    found = {}
    for weights in AVERAGES if name == "base" else ("ema",):
        run = ss.load(workdir, weights=weights)
        draws = []
        for draw in range(DRAWS):
            out = run.sample(jax.random.key(100 + draw), 355)
            draws.append(judge.figures(np.asarray(run.to_images(out.x))))
        figures = {key: float(np.mean([draw[key] for draw in draws])) for key in ("recognised", "frechet", "nearest")}
        figures["bits_per_dim"] = judge.bits_per_dim(run, 1, IMAGES, workdir / f"likelihood_{weights}.json")
        found[weights] = figures
    return {"steps": steps, "seconds": round(trained), "figures": found}


def train(workers: int) -> None:
    """Run what is missing, each training in a process with a core of its own; a result is stored as soon as it is there."""
    todo = [(name, seed) for seed in SEEDS for name in RECIPES if seed == SEEDS[0] or name not in FAR]
    running: dict[int, tuple] = {}
    cores = sorted(os.sched_getaffinity(0))
    while todo or running:
        for slot in range(workers):
            if slot not in running and todo:
                name, seed = todo.pop(0)
                if f"{name}, seed {seed}" not in _known():
                    core = str(cores[slot % len(cores)])
                    folder = tempfile.mkdtemp()
                    command = ["taskset", "-c", core, sys.executable, __file__, "one", f"--recipe={name}"]
                    command += [f"--seed={seed}", f"--workdir={folder}"]
                    with (Path(folder) / "log").open("w") as log:
                        running[slot] = name, seed, folder, subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        time.sleep(0.5)
        for slot, (name, seed, folder, process) in list(running.items()):
            if process.poll() is not None:
                del running[slot]
                result = Path(folder) / "result.json"
                if process.returncode != 0 or not result.exists():
                    print(f"{name}, seed {seed} failed; see {folder}/log", flush=True)
                    continue
                known = {**_known(), f"{name}, seed {seed}": json.loads(result.read_text())}
                part = RESULTS.with_suffix(".part")
                part.write_text(json.dumps(known, indent=1) + "\n")
                part.replace(RESULTS)
                print(time.strftime("%H:%M"), name, seed, known[f"{name}, seed {seed}"], flush=True)
                shutil.rmtree(folder)


def table() -> None:
    """results.md: mean and standard deviation over seeds, best Fréchet distance first; recipes.png shows them."""
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    steps: dict[str, int] = {}
    rows: dict[str, list[dict[str, float]]] = {}
    for title, result in _known().items():
        name = title.rsplit(", seed ", 1)[0]
        for weights, figures in result["figures"].items():
            row = name if weights == "ema" else f"base, average {weights}"
            steps[row] = result["steps"]
            rows.setdefault(row, []).append(figures)
    keys = ("recognised", "frechet", "nearest", "bits_per_dim")
    values = {
        name: {key: np.array([figures[key] for figures in found]) for key in keys} for name, found in rows.items()
    }
    order = sorted(values, key=lambda name: values[name]["frechet"].mean())
    lines = ["| recipe | steps | seeds | recognised | Fréchet | nearest | bits/dim |", "|---|---|---|---|---|---|---|"]
    for name in order:
        cells = [_cell(values[name][key]) for key in keys]
        lines.append(f"| {name} | {steps[name]} | {len(rows[name])} | {' | '.join(cells)} |")
    (HERE / "results.md").write_text("\n".join(lines) + "\n")
    shown = [name for name in order if not name.startswith("base, ")]
    figure, axes = plt.subplots(1, 3, figsize=(11, 0.3 * len(shown) + 1), sharey=True, layout="constrained")
    titles = {"frechet": "Fréchet distance", "recognised": "recognised", "bits_per_dim": "bits/dim"}
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for i, name in enumerate(shown):
            color = {shown[0]: "#1f77b4", "base": "black"}.get(name, "gray")
            axis.plot(values[name][key], np.full(len(rows[name]), -i), "o", color=color, ms=4, alpha=0.7)
        axis.axvline(values["base"][key].mean(), color="black", lw=0.7, ls=":")
        axis.set_title(title)
        axis.grid(axis="y", alpha=0.2)
    axes[0].set_yticks(-np.arange(len(shown)), shown)
    figure.savefig(HERE / "recipes.png", dpi=110)
    plt.close(figure)


def _cell(values) -> str:
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def _known() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("costs", "train", "table", "one"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--recipe")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--workdir", type=Path)
    options = parser.parse_args()
    if options.what == "costs":
        costs()
    elif options.what == "train":
        train(options.workers)
    elif options.what == "one":
        found = one(options.recipe, options.seed, options.workdir)
        (options.workdir / "result.json").write_text(json.dumps(found))
    else:
        table()


if __name__ == "__main__":
    main()
