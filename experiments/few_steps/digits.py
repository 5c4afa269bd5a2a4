"""Students of the box's digits by class: every loss for the same training time, judged at 1, 2 and 4 evaluations.

    python experiments/few_steps/digits.py costs               the time of a step of each loss, over that of denoising
    python experiments/few_steps/digits.py train [NAME ...]     what results lack; about four minutes of one core each
    python experiments/few_steps/digits.py table                digits.md and digits.png

A loss whose step takes r times as long as a step of denoising gets ``STEPS``/r steps. The teacher, ``digits_conditional``
without guidance, is judged at 4 to 50 evaluations by multistep of order 3. Figures are of experiments/quickstart/judge.py,
means of eight draws of 355, and the share of samples that ``digits_judge`` assigns to their own class.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import score_sde as ss
from score_sde.experiment import Run, experiment_of
from score_sde.training import TrainState, make_train_step
from score_sde.training.step import frozen_arrays

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COSTS, RESULTS, RUNS = HERE / "digits_costs.json", HERE / "digits.json", ROOT / "runs" / "few_steps"
sys.path[:0] = [str(ROOT), str(ROOT / "experiments" / "quickstart")]
from configs import digits_conditional  # noqa: E402
from configs.few_step import digits as base  # noqa: E402

STEPS, SEEDS, DRAWS, N = 14_000, (0, 1, 2), 8, 355
EVALUATIONS, OF_TEACHER = (1, 2, 4), (4, 6, 10, 20, 50)
TIMES = {"name": "angle_uniform"}
SORTED, DATA = {"times": TIMES, "equal": 0.25}, {"name": "to_data", "times": TIMES}
LOSSES: dict[str, dict[str, Any]] = {
    "Lagrangian": {"loss": {"name": "lagrangian", "pairs": SORTED}},
    "Eulerian": {"loss": {"name": "eulerian", "pairs": SORTED}},
    "shortcut": {"loss": {"name": "shortcut", "pairs": {"times": TIMES, "equal": 0.5}}},
    "progressive": {"loss": {"name": "progressive", "first": 32}},
    "consistency": {"loss": {"name": "consistency", "points": 19}},
    "continuous consistency": {"loss": {"name": "continuous_consistency", "pairs": DATA, "warmup": 500}},
    "distribution matching": {"task": {"name": "distribution_matching"}},
}
TO_DATA = ("consistency", "continuous consistency", "distribution matching")
"""Sampled with γ = 1: their maps are trained to lead to the data."""


def config_of(name: str, seed: int, steps: int) -> Any:
    """The config of a loss; "denoising" is the teacher's own training, the unit of cost."""
    change = {} if name == "denoising" else LOSSES[name]
    config = digits_conditional.get_config() if name == "denoising" else base.get_config()
    config.seed = seed
    config.training.update(steps=steps, evaluate_every=steps, checkpoint_every=steps, snapshot_every=steps)
    config.logging = {"preview": 0, "tensorboard": False}
    for section, value in change.items():
        config[section] = value
    if name == "progressive":
        every = max(steps // 6, 1)  # 32, 16, 8, 4, 2 and 1 steps
        config.loss.every, config.task.target = every, "target"
        config.averages.target = {"name": "rounds", "every": every}
    if name == "distribution matching":
        config.task.teacher = {"run": "digits_conditional"}
        config.loss = {}
        config.optim.rule = {"name": "in_turns", "slow": "^generator", "every": 6}
    return config


def costs(pairs: int = 7, calls: int = 30) -> None:
    """The time of a step over that of denoising: the median of pairs in turn."""

    def program(name: str) -> dict[str, Any]:
        experiment = experiment_of(config_of(name, 0, STEPS))
        optimizer, _ = experiment.optimizer()
        task, averages = experiment.task, experiment.averages
        step = jax.jit(make_train_step(task, optimizer, averages), donate_argnums=0)
        state = TrainState.create(task.init(jax.random.key(0)), optimizer, averages, task.memory)
        size = experiment.config.batches.batch_size
        batch = {key: jax.numpy.asarray(x) for key, x in experiment.source("train").take(np.arange(size)).items()}
        keys = jax.random.split(jax.random.key(0), size)
        return {"state": state, "step": step, "rest": (frozen_arrays(task), batch, keys)}

    def seconds(made: dict[str, Any]) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            made["state"], out = made["step"](made["state"], *made["rest"])
        jax.block_until_ready(out)
        return time.perf_counter() - began

    unit, found = program("denoising"), json.loads(COSTS.read_text()) if COSTS.exists() else {}
    seconds(unit)
    for name in LOSSES:
        if name not in found:
            own = program(name)
            seconds(own)
            found[name] = round(statistics.median(seconds(own) / seconds(unit) for _ in range(pairs)), 2)
            print(name, found[name], flush=True)
            COSTS.write_text(json.dumps(found, indent=1) + "\n")


def judged(run: Run, sampler: Any, **options: Any) -> dict[str, float]:
    """The figures of one sampler, and the spread of its draws."""
    import judge

    clean, found = ss.pretrained("digits_judge").model, []
    for draw in range(DRAWS):
        condition = run.some_labels(N)
        out = sampler(run.model, jax.random.key(100 + draw), N, run.shape, condition=condition, **options)
        figures = judge.figures(np.asarray(run.to_images(out.x)))
        logits = clean.logits(out.x, clean.sde.t_min)
        right = float(np.mean(np.argmax(np.asarray(logits), axis=1) == np.asarray(condition["label"])))
        found.append({name: figures[name] for name in ("recognised", "frechet", "nearest")} | {"right": right})
    return {name: round(float(np.mean([one[name] for one in found])), 4) for name in found[0]}


def train(names: list[str]) -> None:
    """Train and judge what the file of results lacks."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if "teacher" not in results:
        run, multistep = ss.pretrained("digits_conditional"), ss.samplers.dpm_solver
        found = {str(k): judged(run, multistep, steps=k - 1, order=3) for k in OF_TEACHER}
        single = ss.flow_map.ddim(run.model)
        for k in EVALUATIONS:
            out = judged_map(run, single, k, gamma=0.0)
            found[f"{k}, DDIM"] = out
        results["teacher"] = found
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    ratios = json.loads(COSTS.read_text())
    for seed in SEEDS:
        for name in names or LOSSES:
            title = f"{name}, seed {seed}"
            if title in results:
                continue
            steps = round(STEPS / ratios[name] / 60) * 60
            began = time.perf_counter()
            run = ss.train(config_of(name, seed, steps), RUNS / title.replace(" ", "_"))
            seconds = time.perf_counter() - began
            gamma = float(name in TO_DATA)
            figures = {str(k): judged_map(run, run.model, k, gamma=gamma) for k in EVALUATIONS}
            results = json.loads(RESULTS.read_text()) | {title: {"steps": steps, "seconds": round(seconds), **figures}}
            print(title, results[title], flush=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def judged_map(run: Run, model: Any, steps: int, gamma: float) -> dict[str, float]:
    """The figures of a flow map."""

    def draw(_, key, n, shape, **options):
        return ss.samplers.few_step(model, key, n, shape, steps=steps, gamma=gamma, **options)

    return judged(run, draw)


def table() -> None:
    """Means and deviations over seeds, and Fréchet distance against evaluations."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = json.loads(RESULTS.read_text())
    lines = ["| | evaluations | recognised | Fréchet | in their class | nearest |", "|---|---|---|---|---|---|"]
    figure, axis = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    teacher = results["teacher"]
    for k, row in teacher.items():
        cells = [f"{row[name]:.3f}" for name in ("recognised", "frechet", "right", "nearest")]
        lines.append(f"| teacher | {k} | {' | '.join(cells)} |")
    numbers = [k for k in teacher if k.isdigit()]
    axis.plot(list(map(int, numbers)), [teacher[k]["frechet"] for k in numbers], "k.-", label="teacher, multistep")
    for name in LOSSES:
        rows = [row for title, row in results.items() if title.startswith(f"{name}, seed")]
        if not rows:
            continue
        for k in map(str, EVALUATIONS):
            cells = [
                _spread([row[k][value] for row in rows]) for value in ("recognised", "frechet", "right", "nearest")
            ]
            lines.append(f"| {name}, {rows[0]['steps']} steps | {k} | {' | '.join(cells)} |")
        mean = [np.mean([row[str(k)]["frechet"] for row in rows]) for k in EVALUATIONS]
        axis.plot(EVALUATIONS, mean, "o-", ms=4, label=name)
    axis.set(
        xscale="log", yscale="log", xlabel="evaluations", ylabel="Fréchet distance of pixels, over held-out digits'"
    )
    axis.legend(fontsize=8)
    figure.savefig(HERE / "digits.png", dpi=110)
    (HERE / "digits.md").write_text("\n".join(lines) + "\n")


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("costs", "train", "table"))
    parser.add_argument("names", nargs="*", help="; ".join(LOSSES))
    options = parser.parse_args()
    if options.what == "train":
        train(options.names)
    else:
        {"costs": costs, "table": table}[options.what]()


if __name__ == "__main__":
    main()
