"""A picture of which a part is hidden, for inpainting and outpainting by concatenation.

condition = [m, (1 − m) x],      m = 1 where the picture is to be painted, x in [−1, 1]
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from score_sde.checks import require
from score_sde.control.base import Control


@dataclasses.dataclass(frozen=True)
class Hidden(Control):
    """(height, width, 1 + channels). Three kinds of mask, drawn with these probabilities:

    box        a rectangle whose sides are a quarter to three quarters of the picture's
    outside    everything but such a rectangle: outpainting
    strokes    ``STROKES`` random walks of a brush, as drawn by hand
    """

    box: float = 0.4
    outside: float = 0.2
    strokes: float = 0.4

    def __post_init__(self):
        super().__post_init__()
        chances = (self.box, self.outside, self.strokes)
        require(
            min(chances) >= 0 and abs(sum(chances) - 1) < 1e-6,
            f"box, outside, strokes = {chances}; allowed: probabilities whose sum is 1",
        )

    @property
    def form(self) -> tuple[int, ...]:
        return (*self.shape[:2], 1 + self.shape[2])

    def of(self, key: Key[Array, ""], x: Float[Array, "h w c"]) -> Float[Array, "h w d"]:
        u = jax.random.uniform(key, (5 + STROKES * (4 + STEPS),))
        rectangle, brush = _rectangle(u[1:5], x.shape[:2]), _strokes(u[5:], x.shape[:2])
        outside_or_brush = jnp.where(u[0] < self.box + self.outside, ~rectangle, brush)
        return hidden(x, jnp.where(u[0] < self.box, rectangle, outside_or_brush))


def hidden(x: Float[Array, "h w c"], mask: Bool[Array, "h w"]) -> Float[Array, "h w d"]:
    """The leaf for a picture in [0, 1] and a mask, True where it is to be painted."""
    m = mask[..., None].astype(x.dtype)
    return jnp.concatenate([m, (1 - m) * (2 * x - 1)], axis=-1)


def _rectangle(u: Float[Array, "4"], sizes: tuple[int, ...]) -> Bool[Array, "h w"]:
    """From four numbers between 0 and 1."""
    whole = jnp.array(sizes)
    side = jnp.round(whole * (0.25 + 0.5 * u[:2]))
    first = jnp.floor((whole - side + 1) * u[2:])
    rows, columns = (jnp.arange(n) for n in sizes)
    inside = [(at >= start) & (at < start + n) for at, start, n in zip((rows, columns), first, side, strict=True)]
    return inside[0][:, None] & inside[1][None, :]


STROKES, STEPS = 3, 6


def _strokes(u: Float[Array, "n"], sizes: tuple[int, ...]) -> Bool[Array, "h w"]:
    """Points within a brush's radius of the line of a random walk that keeps its direction for the most part."""
    whole = jnp.array(sizes, float)
    of_first, of_angle, of_width, of_turns = jnp.split(u.reshape(STROKES, -1), (2, 3, 4), axis=1)
    first = whole * of_first[:, None]
    angle = 2 * jnp.pi * of_angle + jnp.cumsum(2.4 * (of_turns - 0.5), axis=1)
    step = 0.12 * whole * jnp.stack([jnp.sin(angle), jnp.cos(angle)], -1)
    ends = jnp.concatenate([first, first + jnp.cumsum(step, axis=1)], axis=1)
    radius = whole.min() * (0.04 + 0.06 * of_width[..., None])
    begin, along = ends[:, :-1], ends[:, 1:] - ends[:, :-1]
    at = jnp.stack(jnp.meshgrid(*(jnp.arange(n) + 0.5 for n in sizes), indexing="ij"), -1).reshape(-1, 2)
    away = at[None, None] - begin[:, :, None]
    part = jnp.clip((away * along[:, :, None]).sum(-1) / (along**2).sum(-1)[..., None], 0, 1)
    distance = jnp.linalg.norm(away - part[..., None] * along[:, :, None], axis=-1)
    return (distance <= radius).any(axis=(0, 1)).reshape(sizes)
