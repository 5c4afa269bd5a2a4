"""Inpainting: the values of x at some places.

y is the flat vector of the values that are seen, in the order of the flattened x: A Aᵀ = I, and nothing stands for what
is missing. ``A.adjoint(y)`` is the picture with zeros there.
"""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from score_sde.checks import require
from score_sde.inverse.operators.base import IMAGE, Operator, as_shape, assign
from score_sde.inverse.operators.spectral import SVD


@dataclasses.dataclass(frozen=True, init=False)
class Mask(Operator):
    """y = x[mask]: True is seen. A mask (height, width) or (height, width, 1) is used for all channels of ``shape``."""

    indices: Int[Array, "m"]  # of the flattened x

    structured = True

    def __init__(self, mask: Any, shape: tuple[int, ...] | None = None):
        mask = as_mask(mask)
        shape = mask.shape if shape is None else as_shape(shape)
        indices = np.flatnonzero(_broadcast(mask, shape))
        assign(self, shape=shape, indices=jnp.asarray(indices))

    @property
    def mask(self) -> Bool[Array, "*shape"]:
        """Where x is seen."""
        return jnp.zeros(math.prod(self.shape), bool).at[self.indices].set(True).reshape(self.shape)

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "m"]:
        # sorted and without repetition, which makes the transpose a plain scatter
        chosen = x.ravel().at[self.indices]
        return chosen.get(mode="promise_in_bounds", unique_indices=True, indices_are_sorted=True)

    def svd(self) -> SVD:
        """s = 1, U = I, Vᵀ = A."""
        return SVD(jnp.ones(self.measured), jax.vmap(self.apply), lambda y: y, self.shape, self.measured)


def as_mask(mask: Any) -> Bool[np.ndarray, "..."]:
    """A mask that is known, of True and False, and not False everywhere."""
    known = not isinstance(mask, jax.core.Tracer)
    require(known, "mask is an argument of jit or vmap; its number of True must be known: make the operator outside")
    mask = np.asarray(mask)
    require(
        mask.dtype == bool or bool(np.isin(mask, (0, 1)).all()),
        f"mask has entries other than True (seen) and False, such as {mask[~np.isin(mask, (0, 1))][:1]}",
    )
    require(bool(mask.any()), f"mask of shape {mask.shape} is False everywhere: nothing is measured. True is seen")
    return mask.astype(bool)


def box_mask(shape: tuple[int, ...], size: int | tuple[int, int], corner: tuple[int, int] | None = None) -> Mask:
    """All but a box of ``size`` (height, width), with this upper left ``corner``; by default in the middle."""
    shape = as_shape(shape, IMAGE)
    return Mask(~_box(shape, size, corner), shape)


def outpainting_mask(
    shape: tuple[int, ...], size: int | tuple[int, int], corner: tuple[int, int] | None = None
) -> Mask:
    """Only a box of ``size`` (height, width), to be continued outwards."""
    shape = as_shape(shape, IMAGE)
    return Mask(_box(shape, size, corner), shape)


def half_mask(shape: tuple[int, ...], missing: Literal["left", "right", "top", "bottom"] = "right") -> Mask:
    """All but one half."""
    height, width, _ = shape = as_shape(shape, IMAGE)
    boxes = {
        "left": ((height, width // 2), (0, 0)),
        "right": ((height, width // 2), (0, width - width // 2)),
        "top": ((height // 2, width), (0, 0)),
        "bottom": ((height // 2, width), (height - height // 2, 0)),
    }
    require(missing in boxes, f"missing = {missing!r}; allowed: {', '.join(boxes)}")
    return Mask(~_box(shape, *boxes[missing]), shape)


def random_mask(shape: tuple[int, ...], missing: float, *, seed: int, per_channel: bool = False) -> Mask:
    """All but a fraction ``missing`` of the pixels, chosen without repetition: its rounded number, not its mean.

    With ``per_channel`` every channel has places of its own; otherwise a pixel is seen in all channels or in none.
    """
    shape = as_shape(shape)
    require(0 <= missing < 1, f"missing = {missing}; allowed: from 0 to below 1, a fraction of the pixels")
    places = shape if per_channel or len(shape) == 1 else (*shape[:-1], 1)
    n = math.prod(places)
    mask = np.ones(n, bool)
    mask[np.random.default_rng(seed).permutation(n)[: round(missing * n)]] = False
    return Mask(mask.reshape(places), shape)


def _box(
    shape: tuple[int, ...], size: int | tuple[int, int], corner: tuple[int, int] | None = None
) -> Bool[np.ndarray, "height width 1"]:
    """True in a box."""
    height, width = size = (size, size) if isinstance(size, int) else size
    top, left = corner = ((shape[0] - height) // 2, (shape[1] - width) // 2) if corner is None else corner
    require(
        height > 0 and width > 0 and 0 <= top <= shape[0] - height and 0 <= left <= shape[1] - width,
        f"a box of size {size} at corner {corner} does not lie inside an image of {shape[:2]}",
    )
    mask = np.zeros((*shape[:2], 1), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def _broadcast(mask: Bool[np.ndarray, "..."], shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
    """The mask in the shape of x."""
    whole = mask[..., None] if mask.ndim == len(shape) - 1 else mask
    fits = whole.ndim == len(shape) and whole.shape[:-1] == shape[:-1] and whole.shape[-1] in (1, shape[-1])
    require(
        fits,
        f"mask has shape {mask.shape}; x of shape {shape} needs that shape, or {(*shape[:-1], 1)}",
    )
    return np.broadcast_to(whole, shape)
