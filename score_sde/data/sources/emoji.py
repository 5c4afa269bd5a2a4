"""Emoji of people in five skin tones with their names as captions: "person running, dark skin tone".

They are rendered from Google's font (OFL-1.1) in Debian's package fonts-noto-color-emoji, and named by the package emoji of
PyPI (BSD-3), which are not included:

    apt-get install fonts-noto-color-emoji && pip install emoji

About 326 bases x 5 tones. For a third of the bases one tone is held out, the split "test": a model that has learned what a
base is and what a tone is can draw it, and one that has learned its pictures by heart cannot. Whether a picture shows what
it should is decided by the nearest of all real pictures (``agrees``).
"""

import functools
import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image, ImageDraw, ImageFont, features

from score_sde.checks import require
from score_sde.data.source import ArraySource, check_split

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
MODIFIERS = {chr(0x1F3FB + i): i for i in range(5)}
NATIVE, WIDEST = 109, 140
"""The one size that the font has, and the widest picture of one emoji: sequences that it cannot draw as one are wider."""


def emoji(split: str = "train", size: int = 32, font: str | Path = FONT) -> ArraySource:
    """The emoji on white, ``size`` pixels wide and high, with ``caption``, ``base`` and ``tone``."""
    check_split("emoji", split, ("train", "test"))
    names, pictures = _rendered(str(font), size)
    base, tone = (axis.reshape(-1) for axis in np.indices(pictures.shape[:2]))
    held_out = is_held_out(base, tone)
    chosen = held_out if split == "test" else ~held_out
    data, base, tone = pictures.reshape(-1, size, size, 3)[chosen], base[chosen], tone[chosen]
    captions = np.array([f"{names[b]}, {TONES[t]} skin tone" for b, t in zip(base, tone, strict=True)])
    return ArraySource(
        "emoji", data, others={"caption": captions, "base": base.astype(np.int32), "tone": tone.astype(np.int32)}
    )


def is_held_out(base: Int[np.ndarray, "n"], tone: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Every third base lacks one tone in training, each tone in turn."""
    return (base % 3 == 0) & (base // 3 % len(TONES) == tone)


def agrees(
    pictures: UInt8[np.ndarray, "n size size 3"], entries: Mapping[str, np.ndarray], font: str | Path = FONT
) -> dict[str, Bool[np.ndarray, "n"]]:
    """Whether base, tone and both are those of the nearest real picture: a judge for ``evaluation.Agreement``."""
    base, tone = nearest(pictures, font)
    flags = {"base": base == entries["base"], "tone": tone == entries["tone"]}
    return {"all": flags["base"] & flags["tone"], **flags}


def nearest(
    pictures: UInt8[np.ndarray, "n size size 3"], font: str | Path = FONT
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """(base, tone) of the real picture that differs least in its pixels."""
    real = _rendered(str(font), pictures.shape[1])[1]
    known = real.reshape(real.shape[0] * real.shape[1], -1).astype(np.float32)
    asked = pictures.reshape(len(pictures), -1).astype(np.float32)
    squared = np.sum(known**2, axis=1) - 2 * asked @ known.T  # up to a number for each picture
    return np.divmod(np.argmin(squared, axis=1), len(TONES))


@functools.cache
def _rendered(font: str, size: int) -> tuple[list[str], UInt8[np.ndarray, "bases tones size size 3"]]:
    """The names of the bases in alphabetical order, and the picture of each in each tone."""
    require(
        Path(font).is_file(),
        f"{font} does not exist; apt-get install fonts-noto-color-emoji, or give the font's path: data.font=FILE",
    )
    require(
        bool(features.check("raqm")), "Pillow has no raqm here, and draws an emoji of several signs as several pictures"
    )
    drawn = ImageFont.truetype(font, NATIVE)
    names, pictures = [], []
    for name, tones in sorted(_sequences().items()):
        widths = [drawn.getlength(text) for text in tones]
        if max(widths) <= WIDEST:
            names.append(name)
            pictures.append(np.stack([_picture(drawn, text, size) for text in tones]))
    return names, np.stack(pictures)


def _sequences() -> dict[str, list[str]]:
    """The emoji of each base by tone, of those that have all five alone."""
    try:
        package: Any = importlib.import_module("emoji")
    except ImportError as error:
        raise ValueError("the names of emoji come with a package: pip install emoji") from error
    found: dict[str, dict[int, str]] = {}
    for text, about in package.EMOJI_DATA.items():
        tones = {MODIFIERS[sign] for sign in text if sign in MODIFIERS}
        if len(tones) == 1 and about["status"] == package.STATUS["fully_qualified"]:
            name = re.sub(r"_(medium-)?(light|medium|dark)_skin_tone", "", about["en"].strip(":")).replace("_", " ")
            found.setdefault(name, {})[tones.pop()] = text
    return {name: [tones[i] for i in range(5)] for name, tones in found.items() if len(tones) == 5}


def _picture(font: Any, text: str, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The emoji in the middle of a white square, reduced."""
    canvas = Image.new("RGB", (WIDEST, WIDEST), "white")
    left, top, right, bottom = font.getbbox(text)
    place = ((WIDEST - left - right) / 2, (WIDEST - top - bottom) / 2)
    ImageDraw.Draw(canvas).text(place, text, font=font, embedded_color=True)
    return np.asarray(canvas.resize((size, size), Image.Resampling.LANCZOS))
