"""Which solver at how many network evaluations? Error against evaluations for every sampler, on two exact mixtures.

    python experiments/solver_frontier/solver_frontier.py

draws ``solver_frontier.png`` and writes ``results.md`` and ``results.json`` beside this file.

Two errors, in units of the data's standard deviation, of what the sampler returns at its defaults (denoised, float32):
"path", the median over latents of the RMS distance to the denoised exact solution of the probability flow (scipy,
DOP853 at 1e-10, from a NumPy formula); and "law", the mean over 128 directions of the Wasserstein-1 distance to exact
draws, whose own sampling error is the floor.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import matplotlib
import numpy as np
from scipy.integrate import solve_ivp

import score_sde as ss

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
BUDGETS = (10, 20, 50, 200, 1000)
SDE = ss.VP()
N_PATH, N_LAW = 128, 1500
S = ss.samplers


def mixtures() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    smooth = np.linspace(-1, 1, 8)
    faces = np.stack([np.outer(smooth, smooth), np.outer(smooth, -np.ones(8)), np.outer(np.sign(smooth), smooth)])
    means = np.concatenate([faces, 0.5 * rng.normal(size=(2, 8, 8))])[..., None]
    return {
        "2-D": (np.array([[1.0, 0.5], [-1.0, 0.3], [0.2, -1.2]]), np.array([0.3, 0.2, 0.4]), np.array([0.3, 0.3, 0.4])),
        "8x8x1": (means, np.array([0.06, 0.15, 0.4, 0.8, 0.25]), np.full(5, 0.2)),
    }


# name: (function, its options, evaluations a step, evaluations besides, whether it solves the probability flow)
SAMPLERS = {
    "DDIM": (S.ddim, {}, 1, 1, True),
    "Heun (EDM)": (S.heun, {}, 2, 1, True),
    "multistep 2": (S.dpm_solver, {"order": 2}, 1, 1, True),
    "multistep 3": (S.dpm_solver, {"order": 3}, 1, 1, True),
    "multistep 3, data form": (S.dpm_solver, {"order": 3, "form": "data"}, 1, 1, True),
    "multistep 4": (S.dpm_solver, {"order": 4}, 1, 2, True),
    "published 2M": (S.dpm_solver, {"order": 2, "coefficients": "published"}, 1, 1, True),
    "published 3M": (S.dpm_solver, {"order": 3, "coefficients": "published"}, 1, 1, True),
    "UniPC 2": (S.unipc, {"order": 2}, 1, 1, True),
    "UniPC 3": (S.unipc, {"order": 3}, 1, 2, True),
    "Euler, flow": (S.reverse_sde, {"stochasticity": 0.0}, 1, 1, True),
    "Euler–Maruyama": (S.predictor_corrector, {"predictor": S.EulerMaruyama()}, 1, 1, False),
    "reverse diffusion": (S.predictor_corrector, {"predictor": S.ReverseDiffusion()}, 1, 1, False),
    "ancestral": (S.predictor_corrector, {"predictor": S.Ancestral()}, 1, 1, False),
    "PC (Langevin 0.16)": (S.predictor_corrector, {"corrector": S.Langevin(0.16)}, 2, 1, False),
    "DDIM, eta 1": (S.ddim, {"eta": 1.0}, 1, 1, False),
    "Heun, churn 20": (S.heun, {"s_churn": 20.0}, 2, 1, False),
    "2M SDE": (S.dpm_solver, {"order": 2, "stochasticity": 1.0}, 1, 1, False),
}
ADAPTIVE = {
    "adaptive ODE": (S.ode, (1e-1, 1e-2, 1e-3, 1e-5), True),
    "adaptive SDE": (S.adaptive_sde, (3e-1, 3e-2), False),
}


class Truth:
    """A mixture, exact draws of it, and the exact flow from the first N_PATH latents."""

    def __init__(self, means: np.ndarray, stds: np.ndarray, weights: np.ndarray):
        self.shape, self.flat = means.shape[1:], means.reshape(len(means), -1)
        self.stds, self.weights = stds, weights
        self.model = ss.analytic.GaussianMixture(means, stds, weights).denoiser(SDE)
        rng = np.random.default_rng(1)
        center = weights @ self.flat
        self.std = float(np.sqrt(np.mean(weights @ (self.flat**2 + stds[:, None] ** 2) - center**2)))
        self.z = rng.normal(size=(N_LAW, self.flat.shape[1]))
        self.exact = self.flow(self.z[:N_PATH])
        directions = rng.normal(size=(self.flat.shape[1], 128))
        self.directions = directions / np.linalg.norm(directions, axis=0)
        sets = [self.project(self.draw(rng)) for _ in range(8)]
        self.sets = sets[0]
        self.floor = float(np.mean([np.abs(a - b).mean() for i, a in enumerate(sets) for b in sets[:i]])) / self.std

    def posterior_mean(self, y: np.ndarray, ratio: float) -> np.ndarray:
        """E[x_0 | y = x_0 + ratio ε]."""
        variance = self.stds**2 + ratio**2
        deviation = y[:, None] - self.flat
        log_p = np.log(self.weights) - y.shape[1] / 2 * np.log(variance) - 0.5 * (deviation**2).sum(-1) / variance
        p = np.exp(log_p - log_p.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        return np.einsum("bk,bkd->bd", p, self.flat + (self.stds**2 / variance)[:, None] * deviation)

    def flow(self, z: np.ndarray) -> np.ndarray:
        """The posterior mean at the end of dy/d log σ̃ = y − E[x_0 | y], y = x/α, σ̃ = σ/α."""
        log_alpha = [-(t**2) * (20.0 - 0.1) / 4 - t * 0.1 / 2 for t in (SDE.t_max_sampling, SDE.t_min_sampling)]
        first, last = (0.5 * np.log(np.expm1(-2 * value)) for value in log_alpha)

        def slope(l: float, y: np.ndarray) -> np.ndarray:
            y = y.reshape(z.shape)
            return (y - self.posterior_mean(y, np.exp(l))).ravel()

        start = (z / np.exp(log_alpha[0])).ravel()
        y = solve_ivp(slope, (first, last), start, method="DOP853", rtol=1e-10, atol=1e-10).y[:, -1].reshape(z.shape)
        return self.posterior_mean(y, np.exp(last))

    def draw(self, rng) -> np.ndarray:
        k = rng.choice(len(self.weights), size=N_LAW, p=self.weights)
        return self.flat[k] + self.stds[k, None] * rng.normal(size=(N_LAW, self.flat.shape[1]))

    def project(self, x: np.ndarray) -> np.ndarray:
        return np.sort(x @ self.directions, axis=0)

    def measure(self, sampler, options: dict, flow: bool) -> dict:
        z = {"x_init": self.z.reshape(N_LAW, *self.shape).astype(np.float32)} if flow else {}
        out = sampler(self.model, jax.random.key(0), N_LAW, self.shape, **z, **options)
        x = np.asarray(out.x, np.float64).reshape(N_LAW, -1)
        row = {"nfe": float(np.mean(out.nfe)), "law": float(np.abs(self.project(x) - self.sets).mean()) / self.std}
        if flow:
            distance = np.sqrt(np.mean((x[:N_PATH] - self.exact) ** 2, axis=1))
            row["path"] = float(np.median(distance)) / self.std
        return row


def run() -> dict:
    results: dict = {"floor": {}}
    for title, parameters in mixtures().items():
        truth = Truth(*parameters)
        results["floor"][title], results[title] = truth.floor, {}
        for name, (sampler, options, per_step, besides, flow) in SAMPLERS.items():
            steps = [(budget - besides) // per_step for budget in BUDGETS]
            results[title][name] = [truth.measure(sampler, {"steps": n, **options}, flow) for n in steps]
        for name, (sampler, tolerances, flow) in ADAPTIVE.items():
            runs = [truth.measure(sampler, {"rtol": tol, "atol": tol}, flow) for tol in tolerances]
            results[title][name] = runs
        print(f"{title} done", flush=True)
    return results


def best(rows: dict, measure: str, budget: int, slack: float = 0.0) -> tuple[str, float]:
    """The solver with the least error within the budget; errors closer than ``slack`` are the same, and ties go to
    the first in the list.
    """
    found = {
        name: min((r[measure] for r in runs if measure in r and r["nfe"] <= budget), default=np.inf)
        for name, runs in rows.items()
    }
    least = min(found.values())
    name = next(name for name, value in found.items() if value <= least + slack)
    return name, found[name]


def write(results: dict, seconds: float) -> None:
    lines = [f"Measured on {jax.default_backend()}, jax {jax.__version__}, in {seconds / 60:.1f} minutes.", ""]
    for title in mixtures():
        rows, floor = results[title], results["floor"][title]
        for measure, about in (("path", "distance to the exact flow"), ("law", f"Wasserstein-1, floor {floor:.3f}")):
            shown = {name: runs for name, runs in rows.items() if measure in runs[0]}
            lines += [f"## {title}: {about}", "", "| solver | " + " | ".join(f"<= {b}" for b in BUDGETS) + " |"]
            lines += ["|---|" + "---|" * len(BUDGETS)]
            winners = [best(shown, measure, budget)[0] for budget in BUDGETS]
            for name, runs in shown.items():
                cells = []
                for budget, winner in zip(BUDGETS, winners, strict=True):
                    values = [r[measure] for r in runs if r["nfe"] <= budget]
                    cell = f"{min(values):.2g}" if values else "-"
                    cells.append(f"**{cell}**" if name == winner else cell)
                lines.append(f"| {name} | " + " | ".join(cells) + " |")
            lines.append("")
    (HERE / "results.md").write_text("\n".join(lines))
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


def draw(results: dict) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(13, 9.5), sharex=True, layout="constrained")
    names = [*SAMPLERS, *ADAPTIVE]
    flow = [n for n in names if "path" in results["2-D"][n][0]]
    colors = plt.get_cmap("tab20").colors
    styles = {}
    for i, name in enumerate(names):
        styles[name] = {"color": colors[i % 20], "ls": "-" if name in flow else "--", "marker": "os^Dv<>pX*"[i % 10]}
    for column, title in enumerate(mixtures()):
        for row, (measure, label) in enumerate((("path", "distance to the exact flow"), ("law", "Wasserstein-1"))):
            axis = axes[row, column]
            for name in names:
                points = [(r["nfe"], r[measure]) for r in results[title][name] if measure in r]
                if points:
                    axis.loglog(*zip(*points, strict=True), ms=4, lw=1.3, label=name, **styles[name])
            if measure == "law":
                axis.axhline(results["floor"][title], color="black", lw=0.8, ls=":")
                axis.text(1100, results["floor"][title], "sampling error", va="bottom", ha="right", fontsize=8)
            else:
                axis.set_title(f"{title} mixture, VP")
            axis.set_ylabel(f"{label} / data std")
            axis.grid(alpha=0.3, which="major")
            for budget in (10, 20, 50, 1000):
                axis.axvline(budget, color="gray", lw=0.6, alpha=0.4)
        axes[1, column].set_xlabel("network evaluations a sample")
        axes[1, column].set_xticks([10, 20, 50, 100, 200, 1000], ["10", "20", "50", "100", "200", "1000"])
        axes[1, column].set_xlim(7, 1400)
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=9, title="— flow   - - noisy")
    figure.savefig(HERE / "solver_frontier.png", dpi=110)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()  # there is nothing to choose, but --help and mistakes are answered
    began = time.monotonic()
    results = run()
    write(results, time.monotonic() - began)
    draw(results)
    for title in mixtures():
        for measure in ("path", "law"):
            slack = 0.1 * results["floor"][title] if measure == "law" else 0.0
            said = [f"{b}: {best(results[title], measure, b, slack)[0]}" for b in BUDGETS]
            print(f"{title}, {measure}: " + "; ".join(said))


if __name__ == "__main__":
    main()
