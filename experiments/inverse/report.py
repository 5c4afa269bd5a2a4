"""The table and the figure of ``posteriors.py``."""

from pathlib import Path

import jax
import matplotlib
import numpy as np
from problems import LEVELS

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PROBLEMS = {
    "G": "G: 8-d Gaussian, 3 measured directions, std 0.1",
    "M": "M: mixture of 4 Gaussians in 8-d, 2 measured directions, std 0.5",
}


def write(results: dict, file: Path) -> None:
    """Markdown tables: laws and costs, calibration, point errors, evidence."""
    lines = [f"Measured on {jax.default_backend()}, jax {jax.__version__}, two shared CPU cores.", ""]
    for title, about in PROBLEMS.items():
        rows, floor = results[title], results[title]["exact"]["floor"]
        lines += [f"# {about}", "", f"## Law of 1024 draws; the floor of W2 is {floor:.2f}", ""]
        lines += ["| method | mean | covariance | W2 | weights | residual²/σ² | nfe | pullbacks | s for 1000 |"]
        lines += ["|---|" + "---|" * 8]
        for name, r in rows.items():
            law = " | ".join(f"{r[value]:.2f}" for value in ("mean", "covariance", "w2", "weights", "residual"))
            lines.append(f"| {name} | {law} | {r['nfe']:.0f} | {r['pullbacks']:.0f} | {r['seconds']:.2g} |")
        lines += ["", "## Calibration: p-values of uniform ranks, and coverage of central 90 % intervals (0.906)", ""]
        lines += ["| method | coordinates | log p(x given y) | residual² | coverage |", "|---|---|---|---|---|"]
        for name, r in rows.items():
            if "p" in r:
                p = " | ".join(f"{value:.2g}" if value > 1e-9 else "< 1e-9" for value in r["p"].values())
                lines.append(f"| {name} | {p} | {r['coverage']:.3f} |")
        lines += ["", "## Point error of E[x_0 given x_t, y] at log-SNR", ""]
        lines += ["| method | " + " | ".join(f"{level:g}" for level in LEVELS) + " |", "|---|" + "---|" * len(LEVELS)]
        for name, r in rows.items():
            if "point" in r:
                lines.append(f"| {name} | " + " | ".join(f"{value:.2g}" for value in r["point"]) + " |")
        lines += ["", "## Log-evidence: mean error for each of the four y", "", "| particles | 1 | 2 | 3 | 4 |"]
        lines += ["|---|---|---|---|---|"]
        for name, r in rows.items():
            if "evidence" in r:
                lines.append(f"| {name} | " + " | ".join(f"{value:+.2f}" for value in r["evidence"]) + " |")
        lines.append("")
    file.write_text("\n".join(lines))


def draw(results: dict, file: Path) -> None:
    """A row for each problem: the distance of the law, calibration, and the error of the denoiser over log-SNR."""
    figure, axes = plt.subplots(2, 3, figsize=(17.5, 13.5), width_ratios=(1.1, 1.1, 1.0), layout="constrained")
    for row, (title, about) in zip(axes, PROBLEMS.items(), strict=True):
        rows = results[title]
        _distances(row[0], rows)
        _coverages(row[1], rows)
        _points(row[2], rows)
        row[0].set_title(about, loc="left", fontsize=13, fontweight="bold", pad=28)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _color(name: str) -> str:
    """By kind: exact, posterior denoisers, steps and loops, particles."""
    if name.startswith("SMC"):
        return "tab:green"
    if name.startswith("exact"):
        return "black"
    return (
        "tab:blue" if name.split(",")[0] in ("MMPS", "PiGDM", "TMPD", "SDA", "JFPS", "DiffPIR", "DDNM") else "tab:red"
    )


def _distances(axis, rows: dict) -> None:
    """A dot for each method; the band is what exact draws have."""
    names = list(rows)[::-1]
    axis.axvline(rows["exact"]["floor"], color="0.6", lw=6, alpha=0.5, zorder=0)
    for i, name in enumerate(names):
        axis.plot(rows[name]["w2"], i, "o", color=_color(name), ms=7)
    axis.set(
        xscale="log", xlabel="sliced W2 to the posterior, in its deviations\n(grey: exact draws)", xlim=(0.065, 1.0)
    )
    axis.set_xticks((0.1, 0.2, 0.4, 0.8), ("0.1", "0.2", "0.4", "0.8"))
    axis.minorticks_off()
    _rows(axis, names)


def _coverages(axis, rows: dict) -> None:
    """Coverage, filled where no rank test rejects at 0.01."""
    names = [name for name in rows if "p" in rows[name]][::-1]
    axis.axvline(58 / 64, color="0.6", lw=6, alpha=0.5, zorder=0)
    for i, name in enumerate(names):
        fine = min(rows[name]["p"].values()) > 0.01
        face = _color(name) if fine else "white"
        axis.plot(rows[name]["coverage"], i, "o", color=_color(name), mfc=face, mew=1.8, ms=8)
    axis.set(xlabel="coverage of central 90 % intervals (grey: right)\nfilled: ranks uniform, p > 0.01; open: not")
    _rows(axis, names)


def _rows(axis, names: list[str]) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.grid(axis="y", color="0.9")
    axis.set_axisbelow(True)


def _points(axis, rows: dict) -> None:
    """Errors over log-SNR of those that are denoisers; the exact one is not drawn."""
    names = [name for name in rows if "point" in rows[name] and name != "exact"]
    for name, marker in zip(names, "os^Dv<>", strict=True):
        axis.plot(LEVELS, np.maximum(rows[name]["point"], 1e-7), marker=marker, label=name)
    axis.axhspan(1e-7, 3e-6, color="0.9", zorder=0)
    axis.text(-8, 1.5e-7, "float32", color="0.4", fontsize=10)
    axis.set(
        yscale="log",
        xticks=(-8, -4, 0, 4, 8),
        ylim=(1e-7, None),
        xlabel="log-SNR",
        ylabel="rms error of E[x0 | xt, y] / posterior deviation",
    )
    axis.grid(color="0.9")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=4, frameon=False, fontsize=9)
