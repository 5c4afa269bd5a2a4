"""Densities, score and velocity fields over the plane."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import matplotlib
import numpy as np
from jax.typing import ArrayLike
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from score_sde.checks import require
from score_sde.plots.style import BLUE, INK, RED, STYLE, one_axes, save

SHADES = LinearSegmentedColormap.from_list("density", ["#ffffff", BLUE])


def plane(
    log_prob: Callable[[Any], ArrayLike] | None = None,
    field: Callable[[Any], ArrayLike] | None = None,
    *,
    extent: tuple[float, float, float, float] = (-2.0, 2.0, -2.0, 2.0),
    points: Any = None,
    title: str = "",
    resolution: int = 120,
    arrows: int = 17,
    axes: Any = None,
    path: str | Path | None = None,
) -> Figure:
    """The density exp(log_prob) as shades of blue, a field as arrows, points as dots, over (left, right, bottom, top).

    ``log_prob``: (n, 2) -> (n,), drawn from white = 0 to blue = its maximum in the plot. ``field``: (n, 2) -> (n, 2),
    such as ``lambda x: model.score(x, t)``. Scores grow without bound away from the data, so the length of an arrow is
    |v|/(|v| + median |v|) times the arrow spacing. ``axes``: the axes to draw on, by default those of a new figure.
    """
    left, right, bottom, top = extent
    require(left < right and bottom < top, f"extent = {extent}; allowed: (left, right, bottom, top), left < right, …")
    require(
        not (log_prob is None and field is None and points is None), "nothing to draw: give log_prob, field or points"
    )
    if axes is None:
        figure, axes = one_axes(4.5, 4.6)
    else:
        figure = axes.figure
    with matplotlib.rc_context(STYLE):
        if log_prob is not None:
            at = _centres(extent, resolution, resolution)
            density = np.exp(_values("log_prob", log_prob, at, (len(at),))).reshape(resolution, resolution)
            axes.imshow(
                density, extent=extent, origin="lower", cmap=SHADES, vmin=0, interpolation="bilinear", aspect="auto"
            )
        if points is not None:
            axes.scatter(*np.asarray(points).T, s=4, color=INK, alpha=0.35, linewidths=0)
        if field is not None:
            at = _centres(extent, arrows, arrows)
            v = _values("field", field, at, (len(at), 2))
            norm = np.linalg.norm(v, axis=1, keepdims=True)
            spacing = np.array([right - left, top - bottom]) / arrows
            shown = v / (norm + max(float(np.median(norm)), 1e-30)) * spacing.min()
            axes.quiver(
                *at.T,
                *shown.T,
                angles="xy",
                scale_units="xy",
                scale=1,
                color=RED,
                width=0.004,
                headwidth=4,
                pivot="mid",
            )
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", title=title)
    return save(figure, path)


def _centres(extent: tuple[float, float, float, float], columns: int, rows: int) -> np.ndarray:
    """The centres (rows x columns, 2) of equal cells, bottom row first."""
    left, right, bottom, top = extent
    x = left + (right - left) * (np.arange(columns) + 0.5) / columns
    y = bottom + (top - bottom) * (np.arange(rows) + 0.5) / rows
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _values(name: str, function: Callable, at: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The function at all points in one call; a ValueError unless the shape is right and all values are finite."""
    values = np.asarray(function(jnp.asarray(at, jnp.float32)))
    require(values.shape == shape, f"{name} returned shape {values.shape} for points of shape {at.shape}; need {shape}")
    finite = np.isfinite(values) | (values == -np.inf) if name == "log_prob" else np.isfinite(values)
    wrong = int((~finite).sum())
    require(wrong == 0, f"{name} is not finite at {wrong} of {values.size} places of the extent")
    return values
