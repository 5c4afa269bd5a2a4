"""Cropping and resizing images of any size to arrays of one size."""

import dataclasses
from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from score_sde.checks import require

Filter = Literal["box", "bilinear", "bicubic", "lanczos"]


@dataclasses.dataclass(frozen=True)
class Fit:
    """A central crop, then a resize with an antialiasing filter.

    ``crop``: "square" for the largest square, or the length of its side. ``size``: the side after the resize. Either
    may be None; with a size and no crop, the largest square is resized, so the image is not distorted.
    ``channels``: 3 or 1.
    """

    crop: int | Literal["square"] | None = None
    size: int | None = None
    filter: Filter = "lanczos"
    channels: int = 3

    def __post_init__(self):
        for name in ("crop", "size"):
            value = getattr(self, name)
            require(
                value is None or value == "square" or value > 0,
                f"{name} = {value}; allowed: a positive number of pixels",
            )
        require(self.filter in get_args(Filter), f"filter = {self.filter!r}; allowed: {', '.join(get_args(Filter))}")
        require(self.channels in (1, 3), f"channels = {self.channels}; allowed: 1 (grey), 3 (colour)")

    @property
    def square(self) -> bool:
        """Whether the crop is the largest central square."""
        return self.crop == "square" or (self.crop is None and self.size is not None)

    def size_of(self, width: int, height: int, name: str) -> tuple[int, int]:
        """The resulting (height, width) of an image of this size."""
        if self.square:
            height = width = min(height, width)
        elif isinstance(self.crop, int):
            require(
                min(height, width) >= self.crop,
                f"{name} is {width} x {height} pixels, too small for crop = {self.crop}; crop less, or use 'square'",
            )
            height = width = self.crop
        return (height, width) if self.size is None else (self.size, self.size)

    def __call__(self, image: Image.Image, name: str) -> UInt8[np.ndarray, "H W C"]:
        """The image as an array."""
        # Pillow clips 16-bit and float images to 255 instead of rescaling them.
        require(not image.mode.startswith(("I", "F")), f"{name} has mode {image.mode}; allowed: 8 bits a channel")
        height, width = self.size_of(*image.size, name)
        image = image.convert("L" if self.channels == 1 else "RGB")
        if self.square or isinstance(self.crop, int):
            side = self.crop if isinstance(self.crop, int) else min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling[self.filter.upper()])
        return np.array(image).reshape(height, width, self.channels)
