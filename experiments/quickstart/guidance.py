"""What classifier-free guidance does to digits: the class that was asked for, more surely, and less variety.

    python main.py --config=configs/digits_conditional.py --workdir=runs/digits_conditional      three minutes
    python experiments/quickstart/guidance.py --workdir=runs/digits_conditional

asked for    the share of samples that a logistic regression, trained on the real training digits, gives the class
             that they were asked to have
variety      the variance within a class, summed over pixels, over that of the real held-out digits
Fréchet      as in judge.py
"""

import argparse
import json
import sys
from pathlib import Path

import jax
import judge
import numpy as np

import score_sde as ss
from score_sde import plots

SCALES = (0.0, 1.0, 2.0, 4.0, 8.0)
TITLES = {0.0: "w = 0, no condition", 1.0: "w = 1, the condition"}
HERE = Path(__file__).parent


def within(x: np.ndarray, label: np.ndarray) -> float:
    """The mean over classes of the variance summed over pixels."""
    return float(np.mean([x[label == k].var(axis=0, ddof=1).sum() for k in range(10)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, default=Path("runs/digits_conditional"))
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    try:
        run = ss.load(options.workdir)
    except ValueError as error:
        sys.exit(f"error: {error}")
    train, test = (ss.data.open_source("digits", split) for split in ("train", "test"))
    x, held_out = judge.flat(train.data), judge.flat(test.data)
    weights = judge.logistic_regression(x, train.labels)
    label = np.arange(options.samples) % 10
    right = np.mean(judge.probabilities(weights, held_out).argmax(1) == test.labels)
    print("| scale | asked for | variety | Fréchet |\n|---|---|---|---|")
    print(f"| real, held out | {right:.3f} | 1.00 | 1.00 |")
    table, pictures = {"held out": {"asked for": float(right)}}, {}
    for scale in SCALES:
        model = ss.guidance.classifier_free(run.model, scale, null={"label": 10})
        out = ss.samplers.dpm_solver(
            model, jax.random.key(1), options.samples, (8, 8, 1), steps=20, condition={"label": label}
        )
        images = np.asarray(run.to_images(out.x))
        samples = judge.flat(images)
        n = min(len(samples), len(held_out))
        row = {
            "asked for": float(np.mean(judge.probabilities(weights, samples).argmax(1) == label)),
            "variety": within(samples, label) / within(held_out, test.labels),
            "frechet": judge.frechet(samples[:n], x) / judge.frechet(held_out[:n], x),
        }
        table[f"{scale:g}"] = row
        pictures[TITLES.get(scale, f"w = {scale:g}")] = images[:60]
        print(f"| {scale:g} | {row['asked for']:.3f} | {row['variety']:.2f} | {row['frechet']:.2f} |", flush=True)
    plots.image_grids(pictures, 17, columns=10, width=3 * len(SCALES), path=options.out / "guidance.png")
    (options.out / "guidance.json").write_text(json.dumps(table, indent=1) + "\n")
    print(f"\nlook at {options.out / 'guidance.png'}: a column is a class")


if __name__ == "__main__":
    main()
