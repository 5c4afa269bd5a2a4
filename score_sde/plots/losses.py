"""Plots of losses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from score_sde.plots.style import BLUE, GREEN, GREY, RED, one_axes, save


def loss_curve(path: Path | None, lines: Sequence[Mapping[str, float]]) -> Figure:
    """Training and held-out loss over steps, from the lines of metrics.jsonl. Both axes are logarithmic."""
    figure, axes = one_axes(6, 3.8)
    for name, label, color in (("loss", "training", BLUE), ("eval_loss", "held out (averaged weights)", RED)):
        points = np.array([(line["step"], line[name]) for line in lines if name in line])
        if len(points):
            axes.plot(points[:, 0], points[:, 1], color=color, lw=1, alpha=0.35)
            width = max(1, len(points) // 30)
            smooth = np.convolve(
                np.pad(points[:, 1], (width // 2, width - 1 - width // 2), "edge"), np.ones(width) / width, "valid"
            )
            axes.plot(points[:, 0], smooth, color=color, lw=1.8, label=label)
    axes.set(xlabel="step", ylabel="loss", xscale="log", yscale="log")
    axes.grid(axis="y", which="both", alpha=0.2)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    return save(figure, path)


def loss_per_level(path: Path | None, log_snr: Any, curves: Mapping[str, Any]) -> Figure:
    """E‖ε̂ − ε‖²/D over log-SNR, from noise on the left to data on the right."""
    figure, axes = one_axes(6, 3.8)
    for (label, values), color in zip(curves.items(), (BLUE, RED, GREEN, GREY) * 9, strict=False):
        axes.plot(np.asarray(log_snr), np.asarray(values), color=color, lw=1.8, marker="o", ms=3, label=label)
    axes.set(xlabel="log SNR  (noise → data)", ylabel="error of the noise, per dimension", yscale="log")
    axes.grid(alpha=0.2)
    axes.legend(frameon=False)
    return save(figure, path)
