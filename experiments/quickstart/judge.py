"""Five figures that say whether a model of the embedded digits has learned, and a picture to look at.

    python experiments/quickstart/judge.py --workdir=runs/quickstart [--samples=500] [--repeats=3]

recognised   the share of samples that a logistic regression, trained on the real training digits, classifies with
             p > 0.9, over the same share of held-out digits                                       at least 0.6
Fréchet      the distance of pixel means and covariances between samples and the training set, over that between the
             held-out and the training set, both at equal n                                        at most 1.5
classes      the smallest and the largest share of a class among samples                           3 % to 20 %
nearest      the median distance of a sample to its nearest training digit, over that of held-out digits: a model
             that has memorised comes close to 0                                                   at least 0.8
bits/dim     of the held-out digits, 17 levels, exact by the probability flow                      at most 2.15
"""

import argparse
import json
import sys
from pathlib import Path

import jax
import numpy as np
import scipy.optimize

import score_sde as ss
from score_sde.evaluation import BitsPerDim, Subject, evaluate, examples
from score_sde.evaluation.metrics import frechet
from score_sde.experiment import Run

LIMITS = {"recognised": (0.6, np.inf), "frechet": (0, 1.5), "rarest": (0.03, 1), "commonest": (0, 0.2)}
LIMITS |= {"nearest": (0.8, np.inf), "bits_per_dim": (-np.inf, 2.15)}


def flat(images: np.ndarray) -> np.ndarray:
    """Digits as vectors of numbers from 0 to 1."""
    return np.asarray(images, np.float64).reshape(len(images), -1) / 16


def probabilities(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Softmax of the affine map (65, 10)."""
    logits = x @ weights[:-1] + weights[-1]
    logits -= logits.max(axis=1, keepdims=True)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def logistic_regression(x: np.ndarray, label: np.ndarray, penalty: float = 1e-3) -> np.ndarray:
    """Weights (65, 10) that minimise the cross-entropy plus a small penalty."""
    wanted, ones = np.eye(10)[label], np.hstack([x, np.ones((len(x), 1))])

    def value_and_gradient(w: np.ndarray) -> tuple[float, np.ndarray]:
        w = w.reshape(-1, 10)
        p = probabilities(w, x)
        value = -np.mean(np.sum(wanted * np.log(p + 1e-300), axis=1)) + penalty * np.sum(w**2)
        return value, (ones.T @ (p - wanted) / len(x) + 2 * penalty * w).ravel()

    start = np.zeros(ones.shape[1] * 10)
    found = scipy.optimize.minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return found.x.reshape(-1, 10)


def nearest(x: np.ndarray, train: np.ndarray) -> float:
    """The median distance to the nearest training digit."""
    squared = (x**2).sum(1)[:, None] - 2 * x @ train.T + (train**2).sum(1)
    return float(np.median(np.sqrt(np.maximum(squared.min(axis=1), 0))))


def figures(images: np.ndarray) -> dict[str, float]:
    """Of a set of sampled digits (n, 8, 8, 1) with levels 0 to 16."""
    train, test = (ss.data.open_source("digits", split) for split in ("train", "test"))
    x, held_out, samples = flat(train.data), flat(test.data), flat(images)
    weights = logistic_regression(x, train.labels)
    p_test, p = probabilities(weights, held_out), probabilities(weights, samples)
    share = np.bincount(p.argmax(axis=1), minlength=10) / len(p)
    n = min(len(samples), len(held_out))
    return {
        "recognised": float(np.mean(p.max(1) > 0.9) / np.mean(p_test.max(1) > 0.9)),
        "frechet": frechet(samples[:n], x) / frechet(held_out[:n], x),
        "rarest": float(share.min()),
        "commonest": float(share.max()),
        "nearest": nearest(samples, x) / nearest(held_out, x),
    }


def bits_per_dim(run: Run, repeats: int, images: int | None, progress: Path) -> float:
    """Over the held-out split, or its first images; what is in ``progress`` already is not done again."""
    source = run.source("test")
    if images is not None:
        source = ss.data.Subset(source, np.arange(images))
    subject = Subject(run.model, run.scaling, run.experiment.conditions)
    bits = BitsPerDim(repeats=repeats, rtol=1e-4, atol=1e-4)  # within 0.002 bits of 1e-6
    found = evaluate(subject, {"bits_per_dim": bits}, examples(source), jax.random.key(2), progress)
    return found["bits_per_dim"]["mean"]


def judge(workdir: Path, samples: int, repeats: int, images: int | None = None) -> dict[str, float]:
    """The five figures of the newest checkpoint; writes them, and the picture."""
    from score_sde import plots

    run = ss.load(workdir)
    out = run.sample(jax.random.key(1), samples, condition=run.some_labels(samples))
    generated = np.asarray(run.to_images(out.x))
    reports = workdir / "reports"
    titles = ("held-out digits", f"generated, step {run.step}")
    plots.side_by_side(reports / "real_and_generated.png", run.source("test").data[:64], generated[:64], 17, titles)
    found = figures(generated)
    found["bits_per_dim"] = bits_per_dim(run, repeats, images, reports / f"likelihood_{run.step}.json")
    (reports / "figures.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=1, help="dequantisations for bits/dim")
    options = parser.parse_args()
    try:
        found = judge(options.workdir, options.samples, options.repeats)
    except ValueError as error:
        sys.exit(f"error: {error}")
    good = True
    print(f"\n{'':14}{'found':>8}   wanted")
    for name, (low, high) in LIMITS.items():
        inside = low <= found[name] <= high
        good &= inside
        limit = f"at least {low:g}" if high in (np.inf, 1) else f"at most {high:g}"
        print(f"{name:14}{found[name]:8.3f}   {limit:14}{'' if inside else '   MISSED'}")
    print(NEXT.format(workdir=options.workdir))
    sys.exit(0 if good else 1)


NEXT = """
Look at
  {workdir}/reports/real_and_generated.png   held-out and generated digits, side by side
  {workdir}/reports/loss.png                 training and held-out loss
  {workdir}/reports/loss_per_level.png       the error at each noise level
  {workdir}/samples/                         the pictures of each snapshot

Try next (in the environment that make made: . .venv/bin/activate)
  score_sde sample --workdir={workdir} --config.sampler=predictor_corrector --config.sampler.steps=500
  score_sde train --config=configs/digits_conditional.py --workdir=runs/digits_conditional
  python -c 'import score_sde as ss; print(ss.load("{workdir}").config)'
"""


if __name__ == "__main__":
    main()
