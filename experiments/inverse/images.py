"""Six tasks on each of two trained models, photo patches and Fashion-MNIST, restored by every method that takes them.

    apt-get install dataset-fashion-mnist endless-sky-high-dpi lomiri-wallpapers-16.04
    python experiments/inverse/images.py photo_patches      # an hour on one core, resumable
    python experiments/inverse/images.py fashion_mnist
    python experiments/inverse/images.py table                              # images.md and images.png

Held-out images, ``DRAWS`` draws of each, noise of 0.1 in model space (0.05 of the range from 0 to 1). "Gaussian" is the
classical answer: the exact posterior of the Gaussian with the mean and covariance of the training images.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import score_sde as ss
from score_sde import plots
from score_sde.evaluation import PosteriorDraws, Subject, evaluate, examples
from score_sde.randomness import keys_of
from score_sde.samplers import Samples, dpm_solver

HERE = Path(__file__).parent
STATE, RESULTS = HERE.parents[1] / "runs" / "inverse_images", HERE / "images.json"
IMAGES, DRAWS, STEPS, STD = 8, 4, 25, 0.1
I = ss.inverse
SHOWN = ("psnr of the mean", "psnr of a draw", "ssim of a draw", "residual²/std²", "spread")

COLOUR, GREY = (32, 32, 3), (28, 28, 1)
TASKS = {
    "photo_patches": {
        "box of 12 hidden": I.box_mask(COLOUR, 12),
        "70 % of pixels hidden": I.random_mask(COLOUR, 0.7, seed=0),
        "4x super-resolution": I.average_downsampling(COLOUR, 4),
        "Gaussian blur": I.gaussian_blur(COLOUR, 1.5),
        "colour from grey": I.grey(COLOUR),
        "JPEG of quality 10": I.JPEG(COLOUR, 10),
    },
    "fashion_mnist": {
        "right half hidden": I.half_mask(GREY),
        "70 % of pixels hidden": I.random_mask(GREY, 0.7, seed=0),
        "4x super-resolution": I.average_downsampling(GREY, 4),
        "motion blur": I.motion_blur(GREY, 9, 0.5, seed=0),
        "100 random projections": I.gaussian_sensing(GREY, 100, seed=0),
        "HDR": I.HDR(GREY),
    },
}
METHODS: dict[str, Callable[..., Any]] = {
    "MMPS": partial(I.mmps, solver=I.GMRES(5)),
    "PiGDM": I.pigdm,
    "SDA": I.sda,
    "DPS, 100 steps": partial(I.dps, steps=100),
    "DiffPIR": I.diffpir,
    "DDNM": I.ddnm,
    "DDRM": partial(I.ddrm, steps=STEPS),
    "replacement": partial(I.replacement, steps=100),
    "DAPS": partial(I.daps, steps=25, ode_steps=4),
    "PnP-DM": partial(I.pnp_dm, sweeps=12, denoise_steps=8),
}


def gaussian_posterior(images: np.ndarray, A: I.Operator) -> Callable[..., Samples]:
    """As a method: x + K (y + n − A x) with x ~ N(μ, C), n ~ N(0, std² I), K = C Aᵀ (A C Aᵀ + std² I)⁻¹, are exact draws."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    mean, covariance = flat.mean(axis=0), np.cov(flat.T)
    a = np.asarray(A.matrix(), np.float64)
    gain = np.linalg.solve(a @ covariance @ a.T + STD**2 * np.eye(len(a)), a @ covariance).T
    values, vectors = np.linalg.eigh(covariance)
    root = jnp.asarray(vectors * np.sqrt(np.clip(values, 0, None)), jnp.float32)
    mean, gain = jnp.asarray(mean, jnp.float32), jnp.asarray(gain, jnp.float32)

    def gaussian(model, key, n, shape, likelihood, *, condition, start) -> Samples:
        y = condition["y"]
        of_x, of_y = jax.random.split(key)
        x = mean + jax.vmap(lambda k: jax.random.normal(k, mean.shape))(keys_of(of_x, start)) @ root.T
        seen = likelihood.A(x.reshape(n, *shape))
        noise = STD * jax.vmap(lambda k: jax.random.normal(k, y.shape[1:]))(keys_of(of_y, start))
        x = x + (y + noise - seen).reshape(n, -1) @ gain.T
        none = jnp.zeros(n, int)
        return Samples(x.reshape(n, *shape), none, jnp.asarray(0), none - 1, start)

    return gaussian


def restored(run, images, A: I.Operator, method, file: Path) -> dict[str, Any]:
    """The metrics of one method, and the seconds of a draw once its programs are compiled; why, where it refuses."""
    subject = Subject(run.model, run.scaling, run.experiment.conditions)
    sampler = partial(dpm_solver, steps=STEPS, order=2)

    def draws(number: int, file: Path | None) -> tuple[dict[str, Any], float]:
        measure = PosteriorDraws(A, STD, method, number, IMAGES, sampler)
        began = time.perf_counter()
        found = evaluate(subject, {"draws": measure}, examples(images, IMAGES), jax.random.key(0), file)["draws"]
        return found, time.perf_counter() - began

    try:
        draws(1, None)
        found, seconds = draws(DRAWS, file)
    except (TypeError, ValueError, NotImplementedError) as error:
        return {"refused": str(error)}
    metrics = {name: found["metrics"][name]["value"] for name in SHOWN}
    row = {**metrics, "evaluations": found["evaluations"], "failed": found["failed draws"]}
    return {name: round(float(value), 4) for name, value in row.items()} | {
        "seconds of a draw": round(seconds / IMAGES / DRAWS, 3)
    }


def measure(name: str, only: str) -> None:
    """All tasks and methods on one model, each into the file of results as it is done."""
    run = ss.pretrained(name)
    train, test = run.source("train"), run.source("test")
    chosen = np.random.default_rng(0).choice(len(test), IMAGES, replace=False)
    images = ss.data.Subset(test, np.sort(chosen))
    some = np.random.default_rng(1).choice(len(train), min(20_000, len(train)), replace=False)
    training = np.asarray(run.scaling.place(train.take(some)["data"], jnp.float32(0.5)))
    for task, A in TASKS[name].items():
        methods = {"Gaussian": gaussian_posterior(training, A)} if A.linear else {}
        for title, method in {**methods, **METHODS}.items():
            results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            known = results.setdefault(name, {}).setdefault(task, {})
            if title in known or (only and title not in only.split(";")):
                continue
            file = STATE / name / f"{task} {title}.json".replace(" ", "_")
            known[title] = restored(run, images, A, method, file)
            print(name, task, title, known[title], flush=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def table() -> None:
    """images.md, and a picture of one image of each task."""
    results = json.loads(RESULTS.read_text())
    lines = [
        f"{IMAGES} held-out images, {DRAWS} draws of each, noise {STD} in model space; one core, seconds without compiling."
    ]
    for name, tasks in results.items():
        for task, rows in tasks.items():
            head = ["method", *SHOWN, "evaluations", "s a draw", "failed"]
            lines += ["", f"## {name}: {task}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
            for title, row in rows.items():
                if "refused" not in row:
                    quality = [f"{row[key]:.3f}" if key.startswith("ssim") else f"{row[key]:.2f}" for key in SHOWN]
                    cost = [f"{row['evaluations']:.0f}", f"{row['seconds of a draw']:.2g}", f"{row['failed']:.0f}"]
                    lines.append(f"| {' | '.join([title, *quality, *cost])} |")
    (HERE / "images.md").write_text("\n".join(lines) + "\n")
    for name, tasks in results.items():
        picture(name, tasks)


def picture(name: str, tasks: dict[str, Any]) -> None:
    """A row a task: the original, the measurement, and one draw of each method."""
    titles = ["Gaussian", *METHODS]
    columns: dict[str, list[np.ndarray]] = {title: [] for title in ("original", "measurement", *titles)}
    for row, (task, known) in enumerate(tasks.items()):
        for title in titles:
            file = STATE / name / f"{task} {title}_draws.npz".replace(" ", "_")
            if "refused" in known.get(title, {"refused": ""}) or not file.exists():
                columns[title].append(np.full(TASKS[name][task].shape, 1.0))
                continue
            with np.load(file) as arrays:
                columns[title].append(arrays["draws"][row, 0])
                original, seen = arrays["original"][row], arrays["seen"][row]
        columns["original"].append(original)
        columns["measurement"].append(seen)
    whole = {title: np.round(127.5 * np.clip(np.stack(x) + 1, 0, 2)).astype(np.uint8) for title, x in columns.items()}
    plots.image_grids(whole, 256, columns=1, width=1.1 * len(whole), path=HERE / f"images_{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=(*TASKS, "table"))
    parser.add_argument("--only", default="", help="methods, separated by semicolons")
    options = parser.parse_args()
    if options.what == "table":
        table()
    else:
        measure(options.what, options.only)


if __name__ == "__main__":
    main()
