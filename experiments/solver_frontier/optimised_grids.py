"""Grids found from a model, against the default grid: the distance to the exact flow at 8, 10, 15 and 20 evaluations.

    python experiments/solver_frontier/optimised_grids.py

Writes ``optimised_grids.md`` beside this file. For each of four exact mixtures under VP and each budget: the solver, form
and order that is best on the default grid (uniform in log-SNR; Karras for Heun), and several solvers on the grid that
``ss.samplers.grids.optimised`` finds for them with 64 latents. All are measured with 1,000 other latents: the median
distance to the exact flow, in units of the data's standard deviation.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
from solver_frontier import mixtures

import score_sde as ss

HERE = Path(__file__).parent
BUDGETS, N = (8, 10, 15, 20), 1000
S = ss.samplers


def all_mixtures() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Those of ``solver_frontier.py``, and two random ones."""
    found = dict(mixtures())
    for d, components, seed in ((6, 8, 6), (48, 12, 48)):
        rng = np.random.default_rng(seed)
        means, stds = rng.normal(size=(components, d)), np.exp(rng.uniform(-3, -0.5, components))
        found[f"{d}-D"] = means, stds, rng.dirichlet(np.full(components, 5.0))
    return found


def solvers() -> dict[str, tuple[Callable, Callable[[int], int]]]:
    """{name: (sampler, steps within a budget)}: every form and order."""
    found: dict[str, tuple[Callable, Callable[[int], int]]] = {"Heun": (S.heun, lambda budget: (budget - 1) // 2)}
    for form in ("noise", "data"):
        for p in (1, 2, 3, 4, 5):
            besides = 1 + max(p - 2, 0) * max(p - 3, 0) // 2
            found[f"multistep {p}, {form}"] = partial(S.dpm_solver, order=p, form=form), partial(_less, besides)
        for p in (1, 2, 3):
            besides = 1 + (p - 1) * max(p - 2, 0) // 2
            found[f"UniPC {p}, {form}"] = partial(S.unipc, order=p, form=form), partial(_less, besides)
    return found


def _less(besides: int, budget: int) -> int:
    return budget - besides


SEARCHED = ("multistep 3, noise", "multistep 4, noise", "multistep 4, data", "UniPC 3, noise")


def compare(parameters: tuple[np.ndarray, np.ndarray, np.ndarray], budget: int) -> dict[str, dict[str, float]]:
    """{"default" | "optimised": {solver: distance}}."""
    means, stds, weights = map(np.asarray, parameters)
    model, shape = ss.analytic.GaussianMixture(means, stds, weights).denoiser(ss.VP()), means.shape[1:]
    flat = means.reshape(len(means), -1)
    variance = weights @ (flat**2 + stds[:, None] ** 2) - (weights @ flat) ** 2
    key, unseen = jax.random.split(jax.random.key(0))
    exact = np.asarray(S.dpm_solver(model, unseen, N, shape, steps=500, order=4).x, np.float64)

    def distance(sampler: Callable, **options) -> float:
        x = np.asarray(sampler(model, unseen, N, shape, **options).x, np.float64)
        each = np.sqrt(np.mean((x - exact) ** 2, axis=tuple(range(1, x.ndim))))
        return float(np.median(each) / np.sqrt(variance.mean()))

    found: dict[str, dict[str, float]] = {"default": {}, "optimised": {}}
    for name, (sampler, steps_of) in solvers().items():
        if (steps := steps_of(budget)) >= 2:
            found["default"][name] = distance(sampler, steps=steps)
            if name in SEARCHED:
                grid = S.grids.optimised(model, key, steps, shape, sampler, n=64)
                found["optimised"][name] = distance(sampler, time_grid=grid)
    return found


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()  # there is nothing to choose, but --help and mistakes are answered
    began, lines = time.monotonic(), []
    lines += ["| mixture | evaluations | best on the default grid | " + " | ".join(SEARCHED) + " | best over best |"]
    lines += ["|---|---|---|" + "---|" * (len(SEARCHED) + 1)]
    for title, parameters in all_mixtures().items():
        for budget in BUDGETS:
            found = compare(parameters, budget)
            best = min(found["default"], key=found["default"].__getitem__)
            least, searched = found["default"][best], found["optimised"]
            cells = [f"{searched[name]:.2g}" if name in searched else "-" for name in SEARCHED]
            ratio = min(searched.values()) / least
            lines.append(f"| {title} | {budget} | {best}: {least:.2g} | {' | '.join(cells)} | {ratio:.2f} |")
            print(lines[-1], flush=True)
    minutes = (time.monotonic() - began) / 60
    head = f"Median distance to the exact flow; {jax.default_backend()}, jax {jax.__version__}, {minutes:.0f} minutes."
    (HERE / "optimised_grids.md").write_text("\n".join([head, "", *lines]) + "\n")


if __name__ == "__main__":
    main()
