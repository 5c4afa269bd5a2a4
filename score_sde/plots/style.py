"""Colours and fonts of all plots, and functions to create and save a figure."""

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

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


class Picture(Figure):
    """A figure outside pyplot's global state, which a notebook displays nevertheless."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def one_axes(width: float, height: float) -> tuple[Figure, Any]:
    """A figure with one set of axes."""
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def save(figure: Figure, path: str | Path | None) -> Figure:
    """Write the figure to ``path`` atomically, if given, and return it."""
    if path is not None:
        with written_whole(Path(path)) as part, matplotlib.rc_context(STYLE):
            figure.savefig(part, dpi=130)
    return figure
