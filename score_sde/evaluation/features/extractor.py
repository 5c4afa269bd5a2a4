"""What turns images into features, with everything that a number made from them depends on."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from score_sde import parameters, pytree
from score_sde.checkpoints import hash_of
from score_sde.checks import require
from score_sde.evaluation.features.resize import RESIZES

Weights = Any
"""A dictionary of arrays, or any other pytree."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Extractor:
    """Images -> features (n, d): bytes, or floats from 0 to 255, (n, height, width, 1 or 3 channels).

    ``network(weights, x)``: features of normalised images x = (image − ``mean``)/``deviation``, (n, size, size, 3).
    ``quantise``: floats are rounded to bytes first, as if they had been saved.
    """

    name: str
    network: Callable[[Weights, Array], Array]
    weights: Weights = dataclasses.field(default_factory=dict, repr=False, metadata={"static": False})
    size: int = 0
    resize: str = "bicubic"
    quantise: bool = True
    mean: float | tuple[float, ...] = 0.0
    deviation: float | tuple[float, ...] = 1.0
    grey: bool = False
    """Whether the network takes images of one channel as they are; otherwise they are repeated."""

    def __post_init__(self):
        require(self.resize in RESIZES, f"resize = {self.resize!r}; allowed: {', '.join(map(repr, RESIZES))}")

    def __call__(self, images: Any) -> Float[Array, "n d"]:
        require(
            jnp.ndim(images) == 4 and jnp.shape(images)[3] in (1, 3),
            f"images of shape {jnp.shape(images)}; give (n, height, width, channels) with 1 or 3 channels",
        )
        return _features(self, jnp.asarray(images))

    def __repr__(self) -> str:
        return f"Extractor({self.about})"

    @property
    def about(self) -> dict[str, Any]:
        """What must agree for two sets of features to be comparable."""
        return {
            "features": self.name,
            "weights": self.hash,
            "size": self.size,
            "resize": self.resize if self.size else "none",
            "quantise": self.quantise,
            "normalisation": f"(x - {self.mean})/{self.deviation}",
        }

    @functools.cached_property
    def hash(self) -> str:
        """Of the weights."""
        return hash_of(parameters.named(self.weights))


pytree.register(Extractor, static_unless_told=True)


@jax.jit
def _features(extractor: Extractor, images: Array) -> Array:
    x = jnp.asarray(images, jnp.float32)
    if extractor.quantise and not jnp.issubdtype(images.dtype, jnp.integer):
        x = jnp.clip(jnp.round(x), 0, 255)
    if x.shape[3] == 1 and not extractor.grey:
        x = jnp.repeat(x, 3, axis=3)
    if extractor.size:
        x = RESIZES[extractor.resize](x, extractor.size)
    x = (x - jnp.asarray(extractor.mean)) / jnp.asarray(extractor.deviation)
    return extractor.network(extractor.weights, x)
