"""Which posterior sampler is right, and at what cost? Every method on two problems whose posteriors are known.

    python experiments/inverse/posteriors.py                 everything
    python experiments/inverse/posteriors.py --only MMPS     methods whose name contains this; keeps the other results
    python experiments/inverse/posteriors.py --new           what results.json lacks
    python experiments/inverse/posteriors.py --draw          the table and the figure from results.json

writes ``results.json``, ``results.md`` and ``posteriors.png`` beside this file. What is measured:

- point: rms error of E[x_0 | x_t, y] at log-SNR −8 … 8, over the posterior's deviation (for posterior denoisers);
- law: errors of 1024 draws for each of four y, of the mean, the covariance (relative Frobenius norm) and the sliced
  2-Wasserstein distance, in posterior deviations; residual²/σ²; evidence;
- calibration: ranks over 128 draws of (x_0, y), 63 posterior draws each (``calibration.py``); 64 for the
  methods that take long.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from calibration import DRAWS, coverage, p_value, ranks
from methods import LONG, OWN, TWISTS, by_flow, by_particles, denoisers
from problems import N, Problem
from report import draw, write

import score_sde as ss

HERE = Path(__file__).parent
PROBLEMS = 128


def measured(sample, problem, together: bool, problems: int) -> dict:
    """Errors and costs of N draws for each of four y; and ranks for ``problems`` others, in the same call if ``together``.
    Seconds are of a second call, per 1000 draws.
    """
    x0, others = problem.given.sample(jax.random.key(42), max(problems, 1))
    four, many = jnp.repeat(problem.y, N, axis=0), jnp.repeat(others, DRAWS, axis=0)
    y = jnp.concatenate([four, many]) if together else four
    for _ in range(2):
        began = time.perf_counter()
        x, (nfe, pullbacks), *evidence = jax.block_until_ready(sample(problem, jax.random.key(1), y))
        seconds = time.perf_counter() - began
    found = problem.law_errors(x[: len(four)].reshape(len(problem.y), N, problem.d))
    found |= {"nfe": nfe, "pullbacks": pullbacks, "seconds": 1000 * seconds / len(y)}
    if evidence:
        truth = np.repeat(problem.given.log_evidence(problem.y), len(evidence[0]) // len(problem.y))
        found["evidence"] = (np.asarray(evidence[0]) - truth).reshape(len(problem.y), -1).mean(axis=1).tolist()
    if problems:
        draws = x[len(four) :] if together else sample(problem, jax.random.key(7), many)[0]
        place = ranks(problem, x0, others, draws.reshape(problems, DRAWS, problem.d))
        found |= {"p": {f: p_value(r) for f, r in place.items()}, "coverage": coverage(place["coordinates"])}
    return found


def methods(problem) -> dict:
    """name: (how it draws, whether any y may stand beside each other in a call, problems for its ranks)."""
    found = {}
    for name in denoisers(problem):
        found[name] = partial(by_flow, name), True, PROBLEMS
        if name in ("exact", "MMPS", "JFPS"):
            found[f"{name}, ode"] = partial(by_flow, name, sampler=ss.samplers.ode, rtol=1e-4, atol=1e-4), False, 0
    found |= {name: (sample, "1000" not in name, 0 if "1000" in name else PROBLEMS) for name, sample in OWN.items()}
    for name, twist in TWISTS.items():
        found[f"SMC {name}, K {N}"] = partial(by_particles, twist, N), False, 0
    for name in ("moments", "noise"):
        found[f"SMC {name}, K 128, 100 steps"] = partial(by_particles, TWISTS[name], 128, steps=100), False, PROBLEMS
    found[f"SMC moments, K {N}, v 0"] = partial(by_particles, TWISTS["moments"], N, v=0.0), False, 0
    return found | {name: (sample, True, 64) for name, sample in LONG.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="methods whose name contains this")
    parser.add_argument("--new", action="store_true", help="what results.json lacks")
    parser.add_argument("--draw", action="store_true", help="from results.json alone")
    options = parser.parse_args()
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for title in () if options.draw else ("M", "G"):
        problem = Problem(title)
        rows = results.setdefault(title, {})
        for name, how in methods(problem).items():
            if options.only not in name or (options.new and name in rows):
                continue
            began = time.perf_counter()
            rows[name] = measured(how[0], problem, *how[1:])
            if name in denoisers(problem):
                rows[name]["point"] = problem.point_errors(denoisers(problem)[name])
            print(f"{title} {name}: {time.perf_counter() - began:.0f} s", rows[name], flush=True)
            file.write_text(json.dumps(results, indent=1) + "\n")
    for title, rows in sorted(results.items()):  # in the order of the methods, whatever was measured first
        results[title] = {name: rows[name] for name in methods(Problem(title)) if name in rows}
    file.write_text(json.dumps(results, indent=1) + "\n")
    write(results, HERE / "results.md")
    draw(results, HERE / "posteriors.png")


if __name__ == "__main__":
    main()
