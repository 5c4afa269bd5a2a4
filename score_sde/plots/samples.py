"""Plots of samples: grids of images, points in the plane."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from score_sde.checks import require
from score_sde.data.contact_sheet import as_bytes, grid
from score_sde.files import written_whole
from score_sde.plots.style import BLUE, STYLE, Picture, one_axes, save


def save_samples(
    path: Path, data: Any, levels: int | None, columns: int | None = None
) -> UInt8[np.ndarray, "..."] | None:
    """Images as a grid, points in the plane as a scatter plot; nothing for data of other shapes. Returns the grid."""
    data = np.asarray(data)
    if data.ndim == 2 and data.shape[1] == 2:
        figure, axes = one_axes(4.5, 4.5)
        axes.scatter(data[:, 0], data[:, 1], s=4, color=BLUE, linewidths=0)
        axes.set_aspect("equal")
        save(figure, path)
        return None
    if data.ndim != 4 or data.shape[3] not in (1, 3):
        return None
    picture = grid(as_bytes(data, levels), columns or round(len(data) ** 0.5))
    save_image(path, picture)
    return picture


def save_image(path: Path, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write a PNG, atomically."""
    from PIL import Image

    with written_whole(Path(path)) as part:
        Image.fromarray(image).save(part)


def captioned(
    data: Any,
    captions: Sequence[str],
    levels: int | None,
    *,
    columns: int = 5,
    path: str | Path | None = None,
) -> Figure:
    """Images (n, H, W, C), each above its caption."""
    data = np.asarray(data)
    require(len(captions) == len(data), f"{len(captions)} captions for {len(data)} images; give one for each")
    rows, columns = -(-len(data) // columns), min(columns, len(data))
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=(1.7 * columns, 2.1 * rows), layout="constrained")
        for place, (image, caption) in enumerate(zip(as_bytes(data, levels), captions, strict=True)):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.imshow(image, interpolation="nearest")
            axes.set_xlabel("\n".join(textwrap.wrap(caption, 24)), fontsize=7, parse_math=False)
            axes.set_xticks([])
            axes.set_yticks([])
    return save(figure, path)


def side_by_side(
    path: Path | None, left: Any, right: Any, levels: int | None, titles: tuple[str, str], columns: int = 8
) -> Figure:
    """Two grids of images side by side under their titles, drawn in the same way."""
    return image_grids(dict(zip(titles, (left, right), strict=True)), levels, columns=columns, path=path)


def image_grids(
    pictures: Mapping[str, Any],
    levels: int | None,
    *,
    columns: int = 8,
    width: float | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Grids of images (n, H, W, C) in a row, each under its title; ``levels`` are those of the source.

    ``width``: the width of the figure in inches, by default 4.5 per grid.
    """
    require(len(pictures) > 0, "there is no grid to draw: give {title: images}")
    sheets = {}
    for title, data in pictures.items():
        data = np.asarray(data)
        require(
            data.ndim == 4 and data.shape[3] in (1, 3),
            f"the images of {title!r} have shape {data.shape}; allowed: (n, height, width, 1 or 3 channels)",
        )
        sheets[title] = grid(as_bytes(data, levels), columns)
    each = (width or 4.5 * len(sheets)) / len(sheets)
    tallest = max(sheet.shape[0] / sheet.shape[1] for sheet in sheets.values())
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=(each * len(sheets), each * tallest + 0.4), layout="constrained")
        for place, (title, sheet) in enumerate(sheets.items()):
            axes = figure.add_subplot(1, len(sheets), place + 1)
            axes.imshow(sheet, interpolation="nearest")
            axes.set_title(title)
            axes.set_axis_off()
    return save(figure, path)
