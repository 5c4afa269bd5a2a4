"""Kanji in two type faces, for the identity of a picture: the same character in gothic and in mincho.

The 6,355 characters are those of JIS X 0208; the faces are IPA's (IPA Font License), in packages that are not included:

    apt-get install fonts-ipafont-gothic fonts-ipafont-mincho

Each example has ``caption`` (its face in words), ``face`` and ``character`` as numbers, and what is known of the same
character in gothic: ``identity``, the first ``FEATURES`` principal components, whitened, of the gothic pictures of the
training split, as a network that recognises faces gives a vector. ``keypoints`` has five dots on the picture itself: its
centre and its outermost ink, as the eyes, nose and mouth of InstantID (Wang et al. 2024). The characters of the split "test"
are never seen in training.
"""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from score_sde.checks import require
from score_sde.data.source import ArraySource, check_split

FOLDER = Path("/usr/share/fonts/opentype")
FACES = {"gothic": "ipafont-gothic/ipag.ttf", "mincho": "ipafont-mincho/ipam.ttf"}
FEATURES = 192
EVERY, HELD_OUT = 12, 500
"""Every twelfth character, up to 500, is in the split "test"."""


def kanji(
    split: str = "train",
    size: int = 32,
    faces: Literal["both", "gothic", "mincho"] = "both",
    folder: str | Path = FOLDER,
) -> ArraySource:
    """The characters, black on white, ``size`` pixels wide and high, in one face or in both, one after the other."""
    check_split("kanji", split, ("train", "test"))
    require(size**2 >= 4 * FEATURES, f"size = {size}; allowed: {math.isqrt(4 * FEATURES - 1) + 1} pixels or more")
    chosen = np.flatnonzero(is_held_out() if split == "test" else ~is_held_out())
    shown = tuple(FACES) if faces == "both" else (faces,)
    data = np.concatenate([drawn(face, size, str(folder))[chosen] for face in shown])
    identity = identities(size, str(folder))[chosen]
    others = {
        "caption": np.repeat(shown, len(chosen)),
        "face": np.repeat([list(FACES).index(face) for face in shown], len(chosen)).astype(np.int32),
        "character": np.tile(chosen.astype(np.int32), len(shown)),
        "identity": np.tile(identity, (len(shown), 1)),
        "keypoints": np.concatenate([dots(each) for each in np.split(data, len(shown))]),
    }
    return ArraySource("kanji", data, others=others)


@functools.cache
def characters() -> str:
    """The kanji of JIS X 0208 in its order: rows 16 to 84."""
    codes = (bytes((0xA0 + row, 0xA0 + cell)) for row in range(16, 85) for cell in range(1, 95))
    return "".join(code.decode("euc_jp", "ignore") for code in codes)


def is_held_out() -> Bool[np.ndarray, "characters"]:
    number = np.arange(len(characters()))
    return (number % EVERY == EVERY - 1) & (number < EVERY * HELD_OUT)


@functools.cache
def drawn(face: str, size: int, folder: str) -> UInt8[np.ndarray, "characters size size 1"]:
    """All characters in a face, in the middle of the picture, with smooth borders."""
    file = Path(folder) / FACES[face]
    require(
        file.is_file(),
        f"{file} does not exist; apt-get install fonts-ipafont-gothic fonts-ipafont-mincho, or set data.folder to where "
        "the fonts are",
    )
    font = ImageFont.truetype(str(file), round(3.6 * size))
    return np.stack([_picture(font, character, size) for character in characters()])


def _picture(font: ImageFont.FreeTypeFont, character: str, size: int) -> UInt8[np.ndarray, "size size 1"]:
    canvas = Image.new("L", (4 * size, 4 * size), 255)
    ImageDraw.Draw(canvas).text((2 * size, 2 * size), character, font=font, fill=0, anchor="mm")
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX))[..., None]


@functools.cache
def identities(size: int, folder: str) -> Float[np.ndarray, "characters features"]:
    """The whitened principal components of the gothic pictures, float32."""
    ink = 1 - drawn("gothic", size, folder).reshape(len(characters()), -1) / 255
    known = ink[~is_held_out()]
    mean = known.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((known - mean).T))
    first = np.argsort(values)[::-1][:FEATURES]
    chosen = vectors[:, first]
    signs = np.sign(
        chosen[np.argmax(np.abs(chosen), axis=0), np.arange(FEATURES)]
    )  # the sign of an eigenvector is arbitrary
    return ((ink - mean) @ (chosen * signs / np.sqrt(values[first]))).astype(np.float32)


def dots(pictures: UInt8[np.ndarray, "n size size 1"]) -> Float[np.ndarray, "n size size 1"]:
    """Five smooth dots: the centre of the ink, and the middle of its uppermost, lowest, leftmost and rightmost pixels."""
    ink = 1 - pictures[..., 0] / 255.0
    place = np.arange(ink.shape[1])
    mass = ink.sum(axis=(1, 2))
    centre = np.stack([(ink.sum(axis=axis) * place).sum(axis=1) / mass for axis in (2, 1)], -1)
    there = ink > 0.5
    found = np.zeros(ink.shape)
    for point in (centre, *_ends(there), *(end[:, ::-1] for end in _ends(there.transpose(0, 2, 1)))):
        rows, columns = (np.exp(-0.5 * (place - point[:, i, None]) ** 2) for i in (0, 1))
        found = np.maximum(found, rows[:, :, None] * columns[:, None, :])
    return found[..., None].astype(np.float32)


def _ends(there: Bool[np.ndarray, "n size size"]) -> list[Float[np.ndarray, "n 2"]]:
    """(row, column) of the middle of the first and of the last row that has ink."""
    n, size, _ = there.shape
    rows = np.asarray(there.any(axis=2))
    points = []
    for end in (np.argmax(rows, axis=1), size - 1 - np.argmax(rows[:, ::-1], axis=1)):
        line = there[np.arange(n), end]
        points.append(np.stack([end, (line * np.arange(size)).sum(axis=1) / np.maximum(line.sum(axis=1), 1)], -1))
    return points


def agrees(
    pictures: UInt8[np.ndarray, "n size size 1"], entries: Mapping[str, np.ndarray], folder: str | Path = FOLDER
) -> dict[str, Bool[np.ndarray, "n"]]:
    """Whether the nearest picture, by pixels, of the held-out characters in both faces is of the right character, of the
    right face, and both: a judge for ``evaluation.Agreement``. A copy of the gothic picture has the wrong face.
    """
    known = np.flatnonzero(is_held_out())
    real = np.concatenate([drawn(face, pictures.shape[1], str(folder))[known] for face in FACES])
    real = real.reshape(len(real), -1).astype(np.float32)
    asked = pictures.reshape(len(pictures), -1).astype(np.float32)
    nearest: Int[np.ndarray, "n"] = np.argmin(np.sum(real**2, axis=1) - 2 * asked @ real.T, axis=1)
    face, character = np.divmod(nearest, len(known))
    flags = {
        "character": known[character] == entries["character"],
        "face": face == entries["face"],
    }
    return {"all": flags["character"] & flags["face"], **flags}
