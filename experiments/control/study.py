"""Three ways of steering a picture, measured: by its edges, by a low resolution of it, by whose picture it is.

    apt-get install dataset-fashion-mnist fonts-ipafont-gothic fonts-ipafont-mincho
    python main.py --config=configs/conditional/edges.py --workdir=runs/edges
    python main.py --config=configs/conditional/super_resolution.py --workdir=runs/super_resolution
    python main.py --config=configs/conditional/kanji.py --workdir=runs/kanji
    python main.py --config=configs/conditional/identity.py --workdir=runs/identity
    python experiments/control/study.py edges | super_resolution | identity     into results.json

edges              F1 between the edges of a picture and those that were told, pixel by pixel, beside what pictures of its
                   class, noisy and blurred ones reach
super_resolution   the distance of D x̂ from what was told, and the PSNR of the mean of 16 draws beside that of the exact
                   posterior of a Gaussian with the mean and covariance of the training images
identity           the share of characters that no training has seen, told by their gothic picture, whose drawing is nearest
                   to their mincho picture among 500 characters in two faces
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

import score_sde as ss
from score_sde import plots
from score_sde.control import edges, low_resolution
from score_sde.data import Subset
from score_sde.data.sources import kanji
from score_sde.evaluation import Agreement, Subject, evaluate, examples
from score_sde.experiment import Run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results.json"
N, DRAWS = 256, 16
SAMPLER = partial(ss.samplers.dpm_solver, steps=19, order=2)


def agreement(run: Run, images: Any, judge: Any, shuffled: bool) -> dict[str, Any]:
    """The mean of what the judge says, and its standard error."""
    measure = Agreement(judge, shuffled=shuffled, first=None, sampler=SAMPLER)
    subject = Subject(run.model, run.scaling, run.experiment.conditions)
    found = evaluate(subject, {"agreement": measure}, examples(images, 64), jax.random.key(0))["agreement"]
    others = {name: round(value["mean"], 4) for name, value in found.items() if isinstance(value, dict)}
    return {"all": [round(found["mean"], 4), round(found["standard_error"], 4)], **others}


def of_edges(run: Run) -> dict[str, Any]:
    """F1, and what other pictures reach."""
    source = run.source("test")
    images = Subset(source, np.random.default_rng(0).choice(len(source), N, replace=False))
    batch = images.take(np.arange(N))
    data, label = batch["data"], batch["label"]
    random = np.random.default_rng(1)
    same = np.array([random.choice(np.flatnonzero((label == y) & (np.arange(N) != i))) for i, y in enumerate(label)])
    blurred = scipy.ndimage.gaussian_filter(data.astype(float), (0, 1, 1, 0))
    noisy = np.clip(data + 255 * 0.05 * random.standard_normal(data.shape), 0, 255)
    others = {
        "another of the class": data[same],
        "any other": np.roll(data, 1, axis=0),
        "blurred": blurred,
        "noisy": noisy,
    }
    reached = {
        name: round(float(edges.agrees(np.asarray(x, np.uint8), {"data": data})["all"].mean()), 3)
        for name, x in others.items()
    }
    told = {name: agreement(run, images, edges.agrees, name == "shuffled") for name in ("control", "shuffled")}
    _show(run, batch, "edges", lambda condition: np.uint8(255 * np.asarray(condition["control"])))
    return {**told, **reached}


def of_low_resolutions(run: Run) -> dict[str, Any]:
    """Consistency of each draw, and PSNR of the mean, beside the exact posterior of a Gaussian."""
    source, train = run.source("test"), run.source("train")
    images = Subset(source, np.random.default_rng(0).choice(len(source), N, replace=False))
    consistent = agreement(run, images, low_resolution.agrees, shuffled=False)
    batch = images.take(np.arange(64))
    x0 = np.asarray(run.scaling.place(jnp.asarray(batch["data"]), jnp.float32(0.5)))
    condition = run.condition_of(batch)
    draws = [
        np.asarray(SAMPLER(run.model, jax.random.key(10 + d), 64, run.shape, condition=condition).x)
        for d in range(DRAWS)
    ]
    some = np.random.default_rng(1).choice(len(train), 20_000, replace=False)
    flat = np.asarray(run.scaling.place(jnp.asarray(train.take(some)["data"]), jnp.float32(0.5)), np.float64)
    flat = flat.reshape(len(flat), -1)
    a = np.asarray(ss.inverse.average_downsampling(run.shape, 4).matrix(), np.float64)
    mean, covariance = flat.mean(axis=0), np.cov(flat.T)
    gain = np.linalg.solve(a @ covariance @ a.T + 1e-6 * np.eye(len(a)), a @ covariance).T
    y = np.asarray(condition["low_resolution"], np.float64).reshape(64, -1)
    gaussian = (mean + (y - mean @ a.T) @ gain.T).reshape(x0.shape)
    bilinear = np.asarray(jax.image.resize(condition["low_resolution"], x0.shape, "bilinear"))
    means = {
        "mean of 16 draws": np.mean(draws, axis=0),
        "one draw": draws[0],
        "Gaussian": gaussian,
        "bilinear": bilinear,
    }
    psnr = {name: [round(v, 2) for v in psnr_of(x, x0)] for name, x in means.items()}
    better = psnr_each(means["mean of 16 draws"], x0) - psnr_each(gaussian, x0)
    pairs = [round(float(better.mean()), 3), round(float(better.std(ddof=1) / 8), 3)]
    enlarged = lambda condition: np.asarray(  # noqa: E731
        run.to_images(jnp.repeat(jnp.repeat(condition["low_resolution"], 4, axis=1), 4, axis=2))
    )
    _show(run, batch, "super_resolution", enlarged)
    return {"consistent": consistent, "PSNR": psnr, "PSNR of the mean over the Gaussian's": pairs}


def psnr_each(x: np.ndarray, x0: np.ndarray) -> np.ndarray:
    """Of each picture, in dB; the range is 2."""
    return -10 * np.log10(np.mean((np.clip(x, -1, 1) - x0) ** 2, axis=(1, 2, 3)) / 4)


def psnr_of(x: np.ndarray, x0: np.ndarray) -> tuple[float, float]:
    """The mean, and its standard error."""
    each = psnr_each(x, x0)
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


def of_identities(run: Run) -> dict[str, Any]:
    """Top-1 of all 500 characters, and with all that another was told."""
    images = run.source("test")
    told = {name: agreement(run, images, kanji.agrees, name == "shuffled") for name in ("identity", "shuffled")}
    batch = images.take(np.arange(64))
    _show(run, batch, "identity", lambda condition: np.uint8(255 * np.asarray(condition["keypoints"])))
    return told


def _show(run: Run, batch: Any, name: str, told: Any, count: int = 12) -> None:
    """What is told, three draws, and the real picture, in columns."""
    few = {entry: value[:count] for entry, value in batch.items()}
    condition = run.condition_of(few)
    draws = [
        run.to_images(SAMPLER(run.model, jax.random.key(d), count, run.shape, condition=condition).x) for d in range(3)
    ]
    columns = (
        {"told": told(condition)}
        | {f"draw {d + 1}": np.asarray(x) for d, x in enumerate(draws)}
        | {"real": few["data"]}
    )
    plots.image_grids(columns, 256, columns=2, width=9, path=HERE / f"{name}.png")


STUDIES = {"edges": of_edges, "super_resolution": of_low_resolutions, "identity": of_identities}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tuple(STUDIES))
    parser.add_argument("--run", help="the workdir; runs/NAME unless given")
    options = parser.parse_args()
    run = ss.load(options.run or ROOT / "runs" / options.what)
    found = {"steps": run.step, **STUDIES[options.what](run)}
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**results, options.what: found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
