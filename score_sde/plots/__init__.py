"""Plots of samples, losses, densities and trajectories, in one style, for notebooks and scripts.

``path=None`` writes no file; a notebook displays a figure or a film that is the last value of a cell.
"""

from score_sde.plots.film import Film, film
from score_sde.plots.losses import loss_curve, loss_per_level
from score_sde.plots.plane import plane
from score_sde.plots.samples import captioned, image_grids, save_image, save_samples, side_by_side
from score_sde.plots.style import BLUE, GREEN, GREY, INK, RED, STYLE

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "RED",
    "STYLE",
    "Film",
    "captioned",
    "film",
    "image_grids",
    "loss_curve",
    "loss_per_level",
    "plane",
    "save_image",
    "save_samples",
    "side_by_side",
]
