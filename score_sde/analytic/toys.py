"""Toy distributions of points in the plane, without a closed-form density."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def moons(key: Key[Array, ""], n: int, noise: float = 0.06) -> Float[Array, "n 2"]:
    """Two interleaving half-circles within about [-1, 1]²."""
    key_side, key_angle, key_noise = jax.random.split(key, 3)
    lower = jax.random.bernoulli(key_side, shape=(n,))
    angle = jnp.pi * jax.random.uniform(key_angle, (n,))
    x = jnp.where(lower, 0.5 - jnp.cos(angle), jnp.cos(angle) - 0.5)
    y = jnp.where(lower, 0.25 - jnp.sin(angle), jnp.sin(angle) - 0.25)
    return jnp.stack([x, y], axis=1) / 1.5 + noise * jax.random.normal(key_noise, (n, 2))


def checkerboard(key: Key[Array, ""], n: int, cells: int = 4) -> Float[Array, "n 2"]:
    """Uniform over the dark cells of a ``cells`` x ``cells`` checkerboard on [-1, 1]²."""
    key_column, key_row, key_within = jax.random.split(key, 3)
    column = jax.random.randint(key_column, (n,), 0, cells)
    dark = (cells + 1 - column % 2) // 2  # dark rows of this column: column % 2, column % 2 + 2, ...
    row = 2 * jnp.floor(jax.random.uniform(key_row, (n,)) * dark).astype(int) + column % 2
    corner = jnp.stack([column, row], axis=1)
    return 2 * (corner + jax.random.uniform(key_within, (n, 2))) / cells - 1


def swiss_roll(key: Key[Array, ""], n: int, noise: float = 0.03) -> Float[Array, "n 2"]:
    """A spiral of one and a half turns within about [-1, 1]²."""
    key_angle, key_noise = jax.random.split(key)
    angle = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(key_angle, (n,)))
    roll = angle[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1) / (4.5 * jnp.pi)
    return roll + noise * jax.random.normal(key_noise, (n, 2))
