"""What turns images into features, with everything that a number made from them depends on."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.evaluation.features.resize import RESIZES

Weights = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Extractor:
    """Images -> features (n, d): bytes, or floats from 0 to 255, (n, height, width, 1 or 3 channels).

    ``network(weights, x)``: features of normalised images x = (image − ``mean``)/``deviation``, (n, size, size, 3).
    ``quantise``: floats are rounded to bytes first, as if they had been saved.
    """

    name: str
    network: Callable[[Weights, Array], Array]
    weights: Weights = dataclasses.field(default_factory=dict, repr=False)
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
        return _features(self.network, self.settings, self.weights, jnp.asarray(images))

    @property
    def settings(self) -> "Settings":
        """What is static."""
        return Settings(self.size, self.resize, self.quantise, self.mean, self.deviation, self.grey)

    @property
    def about(self) -> dict[str, Any]:
        """What must agree for two sets of features to be comparable."""
        return {
            "features": self.name,
            "weights": self.hash,
            "size": self.size,
            "resize": self.resize,
            "quantise": self.quantise,
        }

    @functools.cached_property
    def hash(self) -> str:
        """Of the weights: twelve digits of their SHA-256."""
        digest = hashlib.sha256()
        for name in sorted(self.weights):
            digest.update(name.encode() + np.ascontiguousarray(self.weights[name]).tobytes())
        return digest.hexdigest()[:12]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How images are prepared."""

    size: int
    resize: str
    quantise: bool
    mean: float | tuple[float, ...]
    deviation: float | tuple[float, ...]
    grey: bool


@functools.partial(jax.jit, static_argnums=(0, 1))
def _features(network: Callable, settings: Settings, weights: Weights, images: Array) -> Array:
    x = jnp.asarray(images, jnp.float32)
    if settings.quantise and not jnp.issubdtype(images.dtype, jnp.integer):
        x = jnp.clip(jnp.round(x), 0, 255)
    if x.shape[3] == 1 and not settings.grey:
        x = jnp.repeat(x, 3, axis=3)
    if settings.size:
        x = RESIZES[settings.resize](x, settings.size)
    x = (x - jnp.asarray(settings.mean)) / jnp.asarray(settings.deviation)
    return network(weights, x)
