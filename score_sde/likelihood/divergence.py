"""The divergence of a velocity, from the pullback w -> (∂v/∂z)ᵀ w of one evaluation of the network.

    Hutchinson      div v ≈ ε·(∂v/∂z)ᵀ ε    E[ε εᵀ] = I    unbiased, one backward pass per probe (Skilling 1989)
    exact           div v = Σ_i e_i·(∂v/∂z)ᵀ e_i           D backward passes, ``chunk`` of them at a time

ε is drawn once and fixed along the whole path, so the integrand is smooth and the integral's error is that of ε alone.
Rademacher probes have the least variance among those with independent entries, and none where ∂v/∂z is diagonal.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from score_sde.checks import require, sum_over_sample

Pullback: TypeAlias = Callable[[Array], Array]


def draw_probes(
    distribution: str, key: Key[Array, ""], index: Int[Array, "n"], shape: tuple[int, ...], probes: int, dtype
) -> Float[Array, "n probes *shape"]:
    """Draw the probes of each sample from its own key."""
    draw = {"rademacher": jax.random.rademacher, "gaussian": jax.random.normal}[distribution]
    return jax.vmap(lambda i: draw(jax.random.fold_in(jax.random.fold_in(key, i), 0), (probes, *shape), dtype))(index)


def hutchinson(pullback: Pullback, probes: Float[Array, "n probes *shape"]) -> Float[Array, "n probes"]:
    """ε·(∂v/∂z)ᵀ ε for each sample and probe."""
    return jax.vmap(lambda e: sum_over_sample(e * pullback(e)), in_axes=1, out_axes=1)(probes)


def trace(pullback: Pullback, z: Float[Array, "n *shape"], chunk: int) -> Float[Array, "n 1"]:
    """Σ_i e_i·(∂v/∂z)ᵀ e_i for each sample."""
    dimensions = math.prod(z.shape[1:])

    def entry(i: Array) -> Float[Array, "n"]:
        e = jnp.zeros((len(z), dimensions), z.dtype).at[:, i].set(1)
        return pullback(e.reshape(z.shape)).reshape(len(z), dimensions)[:, i]

    entries = jax.lax.map(entry, jnp.arange(dimensions), batch_size=min(chunk, dimensions))
    return jnp.sum(entries, axis=0)[:, None]


def check(
    kind: str, distribution: str, probes: int, chunk: int, memory: int, shape: tuple[int, ...], itemsize: int
) -> None:
    """Raise a ValueError for invalid options, or if more memory is needed than allowed. shape: (n, *shape)."""
    require(kind in ("hutchinson", "exact"), f'divergence = {kind!r}; allowed: "hutchinson", "exact"')
    require(
        distribution in ("rademacher", "gaussian"),
        f'distribution = {distribution!r}; allowed: "rademacher", "gaussian"',
    )
    require(probes >= 1, f"probes = {probes}; at least 1 is needed")
    require(chunk >= 1, f"chunk = {chunk}; it must be at least 1")
    if kind == "exact":
        n, dimensions = shape[0], math.prod(shape[1:])
        needed = n * min(chunk, dimensions) * dimensions * itemsize
        require(
            needed <= memory,
            f'divergence = "exact" for {n} samples of {dimensions} dimensions carries chunk = {min(chunk, dimensions)} '
            f"vectors a sample through the network, {needed / 2**20:,.0f} MiB for the vectors alone; memory = "
            f"{memory / 2**20:,.0f} MiB are allowed. Give a smaller chunk or batch, allow more memory, or use "
            f'divergence = "hutchinson" (exact costs {dimensions} backward passes an evaluation)',
        )
