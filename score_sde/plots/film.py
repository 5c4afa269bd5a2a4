"""Trajectories of a sampler as a film: an animated GIF of the states from ``record=ss.samplers.trajectory``."""

import base64
import dataclasses
import io
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

from score_sde.checks import require
from score_sde.data.contact_sheet import grid
from score_sde.files import written_whole
from score_sde.plots.style import BLUE, STYLE, one_axes
from score_sde.samplers import Samples

Extent = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Film:
    """A sequence of frames. A notebook displays it if it is the last value of a cell."""

    frames: UInt8[np.ndarray, "frames height width 3"] = dataclasses.field(repr=False)
    seconds: float
    """The duration, without the hold of the last frame."""
    hold: float
    """The additional duration of the last frame."""

    @property
    def gif(self) -> bytes:
        """The GIF file."""
        from PIL import Image

        grey = bool((self.frames == self.frames[..., :1]).all())  # then GIF's 256 colours suffice
        pictures = [Image.fromarray(frame[..., 0] if grey else frame) for frame in self.frames]
        each = 1000 * self.seconds / len(pictures)
        times = [round(each)] * (len(pictures) - 1) + [round(each + 1000 * self.hold)]
        buffer = io.BytesIO()
        pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0)
        return buffer.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write the file atomically."""
        with written_whole(Path(path)) as part:
            part.write_bytes(self.gif)
        return Path(path)

    def _repr_html_(self) -> str:
        return f'<img alt="trajectory" src="data:image/gif;base64,{base64.b64encode(self.gif).decode()}">'


def film(
    samples: Samples,
    path: str | Path | None = None,
    *,
    show: Literal["x", "x0"] = "x",
    limits: tuple[float, float] = (-1.0, 1.0),
    columns: int | None = None,
    extent: Extent | None = None,
    seconds: float = 3.0,
    hold: float = 1.5,
) -> Film:
    """One frame for each recorded time, then one for the samples; written to ``path`` if given.

    ``show``: the states "x" or the posterior means "x0" of the trajectory. Images are drawn as a grid with ``columns``,
    from black to white over ``limits``, clipped beyond. Points (n, 2) are scattered over ``extent`` = (left, right,
    bottom, top), by default a square twice the size of the samples; points outside it are not visible.
    """
    require(show in ("x", "x0"), f'show = {show!r}; allowed: "x" (the states), "x0" (the posterior means)')
    require(
        isinstance(samples.record, dict) and {"t", show} <= set(samples.record),
        f"these samples carry no record of {show!r} and its times; sample with record=ss.samplers.trajectory",
    )
    require(seconds > 0 and hold >= 0, f"seconds = {seconds}, hold = {hold}; allowed: seconds > 0 and hold >= 0")
    states = np.concatenate([np.asarray(samples.record[show]), np.asarray(samples.x)[None]])
    if states.ndim == 5 and states.shape[4] in (1, 3):
        require(limits[0] < limits[1], f"limits = {limits}; give the values of black and of white, the lower first")
        frames = _grids(states, limits, columns or round(states.shape[1] ** 0.5))
    elif states.ndim == 3 and states.shape[2] == 2:
        frames = _scatters(states, np.asarray(samples.record["t"]), extent or _square(states[-1]))
    else:
        raise ValueError(
            f"samples have shape {states.shape[2:]}; a film shows images (height, width, 1 or 3) or points (2,)"
        )
    made = Film(frames, seconds, hold)
    if path is not None:
        made.save(path)
    return made


def _grids(states: np.ndarray, limits: tuple[float, float], columns: int) -> UInt8[np.ndarray, "frames height width 3"]:
    low, high = limits
    shown = np.round(255 * (np.clip(np.nan_to_num(states, nan=low), low, high) - low) / (high - low)).astype(np.uint8)
    shown = np.repeat(shown, 3, axis=4) if shown.shape[4] == 1 else shown
    return np.stack([grid(images, columns) for images in shown])


def _scatters(
    states: Float[np.ndarray, "frames n 2"], t: np.ndarray, extent: Extent
) -> UInt8[np.ndarray, "frames height width 3"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, axes = one_axes(4.2, 4.4)
    canvas = FigureCanvasAgg(figure)
    dots = axes.scatter(*states[0].T, s=7, color=BLUE, alpha=0.6, linewidths=0)
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    axes.set_title("samples")
    canvas.draw()
    figure.set_layout_engine("none")  # fixed, or the axes would move with the height of each title
    frames = []
    with matplotlib.rc_context(STYLE):
        for points, title in zip(states, [*(f"t = {value:.3f}" for value in t), "samples"], strict=True):
            dots.set_offsets(points)
            axes.set_title(title)
            canvas.draw()
            frames.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return np.stack(frames)


def _square(points: Float[np.ndarray, "n 2"]) -> Extent:
    """A square around the finite points, twice their size."""
    points = points[np.isfinite(points).all(axis=1)]
    require(len(points) > 0, "none of the samples is finite; failed_at says at which step each was lost")
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()), 1e-3)
    return (middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)
