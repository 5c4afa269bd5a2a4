"""Computed tomography: line integrals of an image along parallel rays from several directions.

    y_{θ,p} = ∫ x(p cos θ − q sin θ, p sin θ + q cos θ) dq,   (column, row) seen from the middle

by a sum over points one pixel apart along each ray, with bilinear interpolation and zero outside. Lengths are in units of
the longer side of the image, so that a chord through an image of ones gives its length in such units.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from score_sde.checks import as_floating, require
from score_sde.inverse.operators.base import IMAGE, Operator, as_shape, assign


@dataclasses.dataclass(frozen=True, init=False)
class Radon(Operator):
    """Parallel beams at ``angles``, in degrees, or at so many angles, equally spaced from 0 to below 180.

    y is (angles, rays, channels); the rays are one pixel apart and cover the diagonal, so that no pixel is missed. At
    angle 0 a ray runs along a column.
    """

    angles: Float[Array, "angles"]

    def __init__(self, shape: tuple[int, ...], angles: Any):
        shape = as_shape(shape, IMAGE)
        if np.ndim(angles) == 0:
            require(angles >= 1, f"angles = {angles}; allowed: a number of angles from 1, or an array of degrees")
            angles = np.arange(int(angles)) * (180 / int(angles))
        require(np.ndim(angles) == 1 and np.size(angles) > 0, f"angles has shape {np.shape(angles)}; allowed: (any,)")
        assign(self, shape=shape, angles=as_floating(angles))

    def apply(self, x: Float[Array, "height width channels"]) -> Float[Array, "angles rays channels"]:
        height, width, _ = self.shape
        rays = math.ceil(math.hypot(height, width))
        places = jnp.arange(rays, dtype=x.dtype) - (rays - 1) / 2
        p, q = jnp.meshgrid(places, places, indexing="ij")

        def view(theta: Float[Array, ""]) -> Float[Array, "rays channels"]:
            cos, sin = jnp.cos(theta), jnp.sin(theta)
            points = [p * sin + q * cos + (height - 1) / 2, p * cos - q * sin + (width - 1) / 2]
            along = lambda channel: map_coordinates(channel, points, order=1, mode="constant").sum(1)  # noqa: E731
            return jax.vmap(along, 2, 1)(x)

        # one angle at a time: together they would take as many images of memory
        return jax.lax.map(view, jnp.deg2rad(self.angles.astype(x.dtype))) / max(height, width)
