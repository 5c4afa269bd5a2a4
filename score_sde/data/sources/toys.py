"""Draws from a distribution of ``score_sde.analytic``, or from your own, as a finite set of points."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from score_sde import analytic
from score_sde.checks import require
from score_sde.data.source import ArraySource, check_split
from score_sde.objects import import_object

SPLITS = ("train", "test")


def samples(
    distribution: Any, split: str = "train", size: int = 10_000, seed: int = 0, name: str = "samples"
) -> ArraySource:
    """``size`` draws; "train" and "test" are independent.

    ``distribution`` is a function (key, n) -> points, or has ``sample(key, n)``, or, like mixtures, has
    ``sample_labelled(key, n)`` -> (points, components); or it is an import path "package.module:thing" of one of these.
    """
    check_split(name, split, SPLITS)
    require(size > 0, f"size = {size}; a set of samples needs at least 1")
    if isinstance(distribution, str):
        distribution = import_object(distribution)
    key = jax.random.fold_in(jax.random.key(seed), SPLITS.index(split))
    if hasattr(distribution, "sample_labelled"):
        points, label = distribution.sample_labelled(key, size)
        return ArraySource(name, np.asarray(points), np.asarray(label), num_classes=len(distribution.means))
    draw: Callable = getattr(distribution, "sample", distribution)
    return ArraySource(name, np.asarray(draw(key, size)))


def moons(split: str = "train", size: int = 10_000, seed: int = 0) -> ArraySource:
    """Two half-circles."""
    return samples(analytic.moons, split, size, seed, "moons")


def checkerboard(split: str = "train", size: int = 10_000, seed: int = 0) -> ArraySource:
    """The dark cells of a checkerboard."""
    return samples(analytic.checkerboard, split, size, seed, "checkerboard")


def swiss_roll(split: str = "train", size: int = 10_000, seed: int = 0) -> ArraySource:
    """A spiral."""
    return samples(analytic.swiss_roll, split, size, seed, "swiss_roll")


def mixture(
    split: str = "train",
    size: int = 10_000,
    seed: int = 0,
    means: Sequence | None = None,
    stds: Sequence | None = None,
    weights: Sequence | None = None,
) -> ArraySource:
    """A Gaussian mixture, labelled by component; by default eight narrow components on the unit circle."""
    angles = 2 * np.pi * np.arange(8) / 8
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1) if means is None else np.asarray(means)
    widths = np.full(len(centres), 0.1) if stds is None else np.asarray(stds)
    return samples(analytic.GaussianMixture(centres, widths, weights), split, size, seed, "mixture")
