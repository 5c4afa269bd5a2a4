"""A DDPM++ on Fashion-MNIST: four samplers on one model, and bits/dim of held-out images.

    python main.py --config=configs/fashion_mnist.py --workdir=runs/fashion_mnist      about ten minutes on one GPU
    python experiments/fashion_mnist/study.py --workdir=runs/fashion_mnist

The data are those of Debian's package dataset-fashion-mnist, padded to 32 x 32. Fréchet: the distance of pixel means and
covariances between samples and the training set, over that of held-out images at equal n. Writes samples.png,
results.json and results.md beside this file.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np

import score_sde as ss
from score_sde import plots
from score_sde.evaluation import BitsPerDim, Subject, evaluate, examples
from score_sde.evaluation.metrics import frechet

HERE = Path(__file__).parent
SAMPLERS = {
    "PC-1000": partial(ss.samplers.predictor_corrector, steps=1000, corrector=ss.samplers.Langevin(0.1)),
    "DDIM-50": partial(ss.samplers.ddim, steps=50),
    "Heun-18": partial(ss.samplers.heun, steps=18),
    "DPM-Solver++-15": partial(ss.samplers.dpm_solver, steps=15, order=3),
}


def flat(images: np.ndarray) -> np.ndarray:
    """Vectors of numbers from 0 to 1."""
    return np.asarray(images, np.float64).reshape(len(images), -1) / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, default=Path("runs/fashion_mnist"))
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--images", type=int, default=2000, help="held-out images for bits/dim")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    try:
        run = ss.load(options.workdir)
    except ValueError as error:
        sys.exit(f"error: {error}")
    train, test = run.source("train").data, run.source("test").data
    real, n = flat(train), min(options.samples, len(test))
    floor = frechet(flat(test[:n]), real)
    device, rows, pictures = jax.devices()[0].device_kind, {}, {}
    for name, sampler in SAMPLERS.items():
        run.sample(jax.random.key(0), options.samples, sampler=sampler).x.block_until_ready()  # compiles
        began = time.perf_counter()
        out = run.sample(jax.random.key(1), options.samples, sampler=sampler)
        out.x.block_until_ready()
        seconds = time.perf_counter() - began
        images = np.asarray(run.to_images(out.x))
        distance = frechet(flat(images[:n]), real) / floor
        rows[name] = {"evaluations": int(out.calls), "images/s": options.samples / seconds, "frechet": distance}
        pictures[name] = images[:64]
        print(name, rows[name], flush=True)
    found = evaluate(
        Subject(run.model, run.scaling),
        {"bits_per_dim": BitsPerDim(repeats=1, rtol=1e-4, atol=1e-4)},
        examples(ss.data.Subset(run.source("test"), np.arange(options.images)), 250),
        jax.random.key(2),
        options.workdir / "reports" / f"likelihood_{run.step}.json",
    )
    result = found["bits_per_dim"]
    report = {"device": device, "step": run.step, "samples": options.samples, "samplers": rows, "bits_per_dim": result}
    (options.out / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    lines = ["| sampler | evaluations | images/s | Fréchet |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {row['evaluations']} | {row['images/s']:.1f} | {row['frechet']:.2f} |"
        for name, row in rows.items()
    ]
    lines += [
        "",
        f"{device}, step {run.step}; held out: {result['mean']:.3f} ± {result['standard_error']:.3f} bits/dim",
    ]
    (options.out / "results.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    pictures = {"held out": test[:64]} | pictures
    plots.image_grids(pictures, 256, width=3.2 * len(pictures), path=options.out / "samples.png")
    print(f"look at {options.out / 'samples.png'}")


if __name__ == "__main__":
    main()
