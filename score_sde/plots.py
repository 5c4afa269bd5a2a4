"""Pictures of samples, losses and fields, in one style."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Num, UInt8
from matplotlib.figure import Figure

from score_sde.data.contact_sheet import as_bytes, grid
from score_sde.files import written_whole

INK, BLUE, RED, GREEN, GREY = "#222222", "#3b6fb6", "#c2513a", "#2f8f6b", "#999999"
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 11,
    "font.size": 10,
}


def save_samples(
    path: Path, data: Any, levels: int | None, columns: int | None = None
) -> UInt8[np.ndarray, "..."] | None:
    """Images as a grid, points in the plane as a scatter plot; nothing for data of other shapes. Returns the grid."""
    data = np.asarray(data)
    if data.ndim == 2 and data.shape[1] == 2:
        figure, axes = _axes(4.5, 4.5)
        axes.scatter(data[:, 0], data[:, 1], s=4, color=BLUE, linewidths=0)
        axes.set_aspect("equal")
        _save(figure, path)
        return None
    if data.ndim != 4 or data.shape[3] not in (1, 3):
        return None
    picture = grid(as_bytes(data, levels), columns or round(len(data) ** 0.5))
    _save_image(picture, path)
    return picture


def side_by_side(
    path: Path, left: Any, right: Any, levels: int | None, titles: tuple[str, str], columns: int = 8
) -> None:
    """Two grids of images beside each other under their titles, drawn in the same way."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.9), layout="constrained")
        for place, (data, title) in enumerate(zip((left, right), titles, strict=True)):
            axes = figure.add_subplot(1, 2, place + 1)
            axes.imshow(grid(as_bytes(np.asarray(data), levels), columns), interpolation="nearest")
            axes.set_title(title)
            axes.set_axis_off()
        _save(figure, path)


def loss_curve(path: Path, lines: Sequence[Mapping[str, float]]) -> None:
    """Training and held-out loss over steps, from the lines of metrics.jsonl. Both axes are logarithmic."""
    figure, axes = _axes(6, 3.8)
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
    _save(figure, path)


def loss_per_level(path: Path, log_snr: Any, curves: Mapping[str, Any]) -> None:
    """E‖ε̂ − ε‖²/D over log-SNR, from noise at the left to data at the right."""
    figure, axes = _axes(6, 3.8)
    for (label, values), color in zip(curves.items(), (BLUE, RED, GREEN, GREY) * 9, strict=False):
        axes.plot(np.asarray(log_snr), np.asarray(values), color=color, lw=1.8, marker="o", ms=3, label=label)
    axes.set(xlabel="log SNR  (noise → data)", ylabel="error of the noise, per dimension", yscale="log")
    axes.grid(alpha=0.2)
    axes.legend(frameon=False)
    _save(figure, path)


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def _save(figure: Figure, path: Path) -> None:
    with written_whole(Path(path)) as part, matplotlib.rc_context(STYLE):
        figure.savefig(part, dpi=130)


def _save_image(picture: Num[np.ndarray, "height width 3"], path: Path) -> None:
    from PIL import Image

    with written_whole(Path(path)) as part:
        Image.fromarray(picture).save(part)
