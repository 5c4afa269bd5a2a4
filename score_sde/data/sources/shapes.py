"""Pictures of one shape with a caption, drawn by a formula: "a small red circle at the top left".

Four shapes, six colours, four places and two sizes make 192 combinations, of which a fifth is never seen in training: the
split "test". Whether a picture shows what it should is decided by a formula too (``recognised``), so that it is known how
far a text-conditional model composes what it has learned.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from score_sde.data.source import ArraySource, check_split

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = {
    "red": (220, 50, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (235, 215, 50),
    "purple": (170, 60, 200),
    "cyan": (60, 205, 215),
}
PLACES = {
    "top left": (10.0, 10.0),
    "top right": (22.0, 10.0),
    "bottom left": (10.0, 22.0),
    "bottom right": (22.0, 22.0),
}
SIZES = {"small": 4.0, "large": 7.0}
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "place": tuple(PLACES),
    "size": tuple(SIZES),
}
PIXELS = 32
COMBINATIONS = np.array(list(itertools.product(*(range(len(values)) for values in ATTRIBUTES.values()))))
"""(192, 4): the index of each attribute."""
HELD_OUT = np.sort(np.random.default_rng(0).permutation(len(COMBINATIONS))[: len(COMBINATIONS) // 5])
"""The combinations that are not in the training data."""


def shapes(split: str = "train", each: int = 64, seed: int = 0) -> ArraySource:
    """``each`` pictures of every combination of the split, with ``caption`` and the index of every attribute.

    Place, size, colour and background vary a little from picture to picture.
    """
    check_split("shapes", split, ("train", "test"))
    data, rows = _drawn(split, each, seed)
    others = {name: rows[:, i].astype(np.int32) for i, name in enumerate(ATTRIBUTES)}
    return ArraySource("shapes", data, others={"caption": np.array([caption(row) for row in rows]), **others})


@functools.cache
def _drawn(split: str, each: int, seed: int) -> tuple[UInt8[np.ndarray, "n 32 32 3"], Int[np.ndarray, "n 4"]]:
    """(the pictures of a split, their combinations)."""
    held_out = np.isin(np.arange(len(COMBINATIONS)), HELD_OUT)
    rows = np.repeat(COMBINATIONS[held_out if split == "test" else ~held_out], each, axis=0)
    return drawn(rows, np.random.default_rng([seed, split == "test"])), rows


def caption(row: Sequence[int] | Int[np.ndarray, "4"]) -> str:
    """The caption of a combination."""
    shape, colour, place, size = (values[i] for values, i in zip(ATTRIBUTES.values(), row, strict=True))
    return f"a {size} {colour} {shape} at the {place}"


def drawn(rows: Int[np.ndarray, "n 4"], random: np.random.Generator | None = None) -> UInt8[np.ndarray, "n 32 32 3"]:
    """A picture of each combination; without a generator, nothing varies."""
    n = len(rows)
    vary = np.zeros((n, 7)) if random is None else random.uniform(-1, 1, (n, 7))
    centre = np.array(list(PLACES.values()))[rows[:, 2]] + 1.5 * vary[:, :2]
    radius = np.array(list(SIZES.values()))[rows[:, 3]] * (1 + 0.08 * vary[:, 2])
    colour = np.array(list(COLOURS.values()))[rows[:, 1]] + 15 * vary[:, 3:6]
    ground = 40 + 20 * vary[:, 6]
    alpha = coverage(rows[:, 0], centre, radius)[..., None]
    picture = alpha * colour[:, None, None] + (1 - alpha) * ground[:, None, None, None]
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def coverage(
    kind: Int[np.ndarray, "n"], centre: Float[np.ndarray, "n 2"], radius: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n 32 32"]:
    """How much of each pixel the shape covers: 1/2 − its signed distance, clipped."""
    pixels = np.arange(PIXELS) + 0.5
    x = pixels[None, None, :] - centre[:, 0, None, None]
    y = pixels[None, :, None] - centre[:, 1, None, None]
    r = radius[:, None, None]
    bar = r / 3
    distances = (
        np.hypot(x, y) - r,
        np.maximum(abs(x), abs(y)) - 0.9 * r,
        np.maximum(y - 0.75 * r, 0.866 * abs(x) - 0.5 * y - 0.55 * r),
        np.minimum(np.maximum(abs(x) - r, abs(y) - bar), np.maximum(abs(x) - bar, abs(y) - r)),
    )
    return np.clip(0.5 - np.choose(kind[:, None, None], distances), 0, 1)


def recognised(pictures: UInt8[np.ndarray, "n 32 32 3"], clear: float = 0.4) -> Int[np.ndarray, "n 4"]:
    """The index of each attribute that a picture shows; −1 for all of a picture that shows no shape clearly.

    The background is the median of the border, the shape what differs from it. Its colour is the nearest of the six; shape,
    place and size are those of the nearest drawing, moved by up to 2 pixels. ``clear``: the largest distance to it, relative
    to its own norm.
    """
    images = pictures.astype(float)
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    above = images - np.median(border, axis=1)[:, None, None]
    length = np.linalg.norm(above, axis=-1)
    inside = length > 0.7 * np.quantile(length.reshape(len(images), -1), 0.98, axis=1)[:, None, None]
    mean = np.sum(above * inside[..., None], axis=(1, 2)) / np.maximum(inside.sum((1, 2)), 1)[:, None]
    strong = np.linalg.norm(mean, axis=1)
    alpha = np.clip(np.einsum("nhwc,nc->nhw", above, mean) / np.maximum(strong, 1e-9)[:, None, None] ** 2, 0, 1)
    colour = mean + np.median(border, axis=1)
    names = np.argmin(np.linalg.norm(colour[:, None] - np.array(list(COLOURS.values()))[None], axis=-1), axis=1)
    templates, rows = _templates()
    flat = alpha.reshape(len(images), -1)
    squared = np.sum(templates**2, axis=1) - 2 * flat @ templates.T + np.sum(flat**2, axis=1)[:, None]
    nearest = np.argmin(squared, axis=1)
    distance = np.sqrt(
        np.maximum(squared[np.arange(len(images)), nearest], 0) / np.sum(templates[nearest] ** 2, axis=1)
    )
    found = rows[nearest].copy()
    found[:, 1] = names
    found[(distance > clear) | (strong < 40)] = -1
    return found


def agrees(
    pictures: UInt8[np.ndarray, "n 32 32 3"], entries: Mapping[str, np.ndarray]
) -> dict[str, Bool[np.ndarray, "n"]]:
    """Whether each picture has each attribute of its example, and all of them: a judge for ``evaluation.Agreement``."""
    found = recognised(pictures)
    flags = {name: found[:, i] == entries[name] for i, name in enumerate(ATTRIBUTES)}
    return {"all": np.all(list(flags.values()), axis=0), **flags}


@functools.cache
def _templates() -> tuple[Float[np.ndarray, "m pixels"], Int[np.ndarray, "m 4"]]:
    """Drawings of every shape, place and size, moved by half pixels, and their attributes; the colour is 0."""
    plain = COMBINATIONS[COMBINATIONS[:, 1] == 0]
    moves = np.array(list(itertools.product(np.arange(-2.0, 2.5, 0.5), repeat=2)))
    rows = np.repeat(plain, len(moves), axis=0)
    centre = np.array(list(PLACES.values()))[rows[:, 2]] + np.tile(moves, (len(plain), 1))
    drawings = coverage(rows[:, 0], centre, np.array(list(SIZES.values()))[rows[:, 3]])
    return drawings.reshape(len(rows), -1), rows
