"""Which posterior sampler is right, and at what cost? Every method on two problems whose posteriors are known.

    python experiments/inverse/posteriors.py                 everything
    python experiments/inverse/posteriors.py --only MMPS     methods whose name contains this; keeps the other results
    python experiments/inverse/posteriors.py --new           what results.json lacks
    python experiments/inverse/posteriors.py --draw          the table and the figure from results.json

writes ``results.json``, ``results.md`` and ``posteriors.png`` beside this file. What is measured:

- point: rms error of E[x_0 | x_t, y] at log-SNR −8 … 8, over the posterior's deviation (for posterior denoisers);
- law: errors of 1024 draws for each of four y, of the mean, the covariance (relative Frobenius norm) and the sliced
  2-Wasserstein distance, in posterior deviations; residual²/σ²; evidence;
- calibration: ranks over 256 draws of (x_0, y), 63 posterior draws each (``calibration.py``); 128 for the
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
from problems import Problem
from report import draw, write

import score_sde as ss

HERE = Path(__file__).parent
N, PROBLEMS = 1024, 256


def laws(sample, problem) -> dict:
    """Errors and costs of N draws for each of four y, without compilation in the seconds."""
    y = jnp.repeat(problem.y, N, axis=0)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        x, (nfe, pullbacks), *evidence = jax.block_until_ready(sample(problem, jax.random.key(1), y))
        seconds.append(time.perf_counter() - began)
    found = problem.law_errors(x.reshape(len(problem.y), N, problem.d))
    found |= {"nfe": nfe, "pullbacks": pullbacks, "seconds": seconds[1]}
    if evidence:
        truth = np.repeat(problem.given.log_evidence(problem.y), len(evidence[0]) // len(problem.y))
        found["evidence"] = (np.asarray(evidence[0]) - truth).reshape(len(problem.y), -1).mean(axis=1).tolist()
    return found


def calibrated(sample, problem, problems: int) -> dict:
    """p-values of uniform ranks, and the coverage of central 90 % intervals."""
    x0, y = problem.given.sample(jax.random.key(42), problems)
    x = sample(problem, jax.random.key(7), jnp.repeat(y, DRAWS, axis=0))[0]
    found = ranks(problem, x0, y, x.reshape(problems, DRAWS, problem.d))
    return {"p": {f: p_value(r) for f, r in found.items()}, "coverage": coverage(found["coordinates"])}


def methods(problem) -> dict:
    """name: (how it draws for the law, how for the calibration or None)."""
    found = {}
    for name in denoisers(problem):
        flow = partial(by_flow, name)
        found[name] = flow, flow
        if name in ("exact", "MMPS", "JFPS"):
            found[f"{name}, ode"] = partial(by_flow, name, sampler=ss.samplers.ode, rtol=1e-4, atol=1e-4), None
    found |= {name: (sample, sample) for name, sample in (OWN | LONG).items()}
    for name, twist in TWISTS.items():
        large, small = (partial(by_particles, twist, K) for K in (N, 128))
        found[f"SMC {name}, K {N}"] = large, None
        found[f"SMC {name}, K 128"] = small, partial(small, steps=100)
    found[f"SMC moments, K {N}, v 0"] = partial(by_particles, TWISTS["moments"], N, v=0.0), None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="methods whose name contains this")
    parser.add_argument("--new", action="store_true", help="what results.json lacks")
    parser.add_argument("--draw", action="store_true", help="from results.json alone")
    options = parser.parse_args()
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for title in () if options.draw else ("G", "M"):
        problem = Problem(title)
        rows = results.setdefault(title, {})
        for name, (law, calibration) in methods(problem).items():
            if options.only not in name or (options.new and name in rows):
                continue
            began = time.perf_counter()
            rows[name] = laws(law, problem)
            if calibration is not None:
                rows[name] |= calibrated(calibration, problem, PROBLEMS // 2 if name in LONG else PROBLEMS)
            if name in denoisers(problem):
                rows[name]["point"] = problem.point_errors(denoisers(problem)[name])
            print(f"{title} {name}: {time.perf_counter() - began:.0f} s", rows[name], flush=True)
            file.write_text(json.dumps(results, indent=1) + "\n")
    for title, rows in results.items():  # in the order of the methods, whatever was measured first
        results[title] = {name: rows[name] for name in methods(Problem(title)) if name in rows}
    file.write_text(json.dumps(results, indent=1) + "\n")
    write(results, HERE / "results.md")
    draw(results, HERE / "posteriors.png")


if __name__ == "__main__":
    main()
