"""Plots of a source: a grid of its images, or its points in the plane."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num, UInt8

from score_sde.checks import require


def contact_sheet(source: Any, path: Path, rows: int = 8, columns: int = 12, seed: int = 0) -> None:
    """Write a PNG of examples drawn at random (all, in order, if there are few)."""
    shape = source.shape
    require(
        len(shape) == 3 or shape == (2,),
        f"{source.name} has shape {shape}; a contact sheet needs images (H, W, C) or points (2,)",
    )
    count = rows * columns if len(shape) == 3 else 5000
    index = np.arange(len(source))
    if len(source) > count:
        index = np.sort(np.random.default_rng(seed).choice(len(source), count, replace=False))
    examples = source.take(index)
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(shape) == 3:
        from PIL import Image

        Image.fromarray(grid(as_bytes(examples["data"], source.levels), columns)).save(path)
    else:
        scatter(examples["data"], examples.get("label"), path)


def as_bytes(data: Num[np.ndarray, "n H W C"], levels: int | None) -> UInt8[np.ndarray, "n H W 3"]:
    """Map levels, or the range of continuous data, to 0 to 255; grey images get three channels."""
    low, high = (0, levels - 1) if levels else (data.min(), data.max())
    shown = np.round(255.0 * (data - low) / max(high - low, 1e-12)).astype(np.uint8)
    return np.repeat(shown, 3, axis=3) if shown.shape[3] == 1 else shown[..., :3]


def grid(
    images: UInt8[np.ndarray, "n H W 3"], columns: int, gap: int = 2, side: int = 64
) -> UInt8[np.ndarray, "height width 3"]:
    """Images in rows on white; small ones are enlarged by an integer factor to about ``side`` pixels."""
    n, height, width, _ = images.shape
    scale = max(1, side // max(height, width))
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale + gap, width * scale + gap
    sheet = np.full((-(-n // columns) * height + gap, min(columns, n) * width + gap, 3), 255, np.uint8)
    for k, image in enumerate(images):
        top, left = k // columns * height + gap, k % columns * width + gap
        sheet[top : top + height - gap, left : left + width - gap] = image
    return sheet


def scatter(points: Float[np.ndarray, "n 2"], label: np.ndarray | None, path: Path) -> None:
    """Points in the plane, coloured by label."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=3,
        c="#3b6fb6" if label is None else label,
        cmap=None if label is None else "tab10",
    )
    axes.set_aspect("equal")
    figure.savefig(path, dpi=120)
