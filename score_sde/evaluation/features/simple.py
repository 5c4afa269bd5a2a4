"""Features without a published network: pixels, principal components, a classifier trained here, a function of your own."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.evaluation.features.extractor import Extractor
from score_sde.guidance import NoisyClassifier


def pixels(*, size: int = 0, resize: str = "bicubic") -> Extractor:
    """All values of an image, from 0 to 1, resized first if ``size`` is not 0."""
    return Extractor("pixels", _pixels, size=size, resize=resize, deviation=255.0, grey=True)


def pca(file: str | Path, *, components: int = 64) -> Extractor:
    """The coordinates along the first principal components of pixels.

    ``file``: .npz with the mean and the covariance of pixels, as ``score_sde statistics SOURCE --features=pixels`` writes
    it for the training set.
    """
    file = Path(file)
    require(file.is_file(), f"{file} does not exist; make it with: score_sde statistics SOURCE --features=pixels")
    with np.load(file) as arrays:
        require("scatter" in arrays, f"{file} has no entry 'scatter'; it is no file of statistics of pixels")
        mean, scatter = arrays["mean"], arrays["scatter"]
    require(1 <= components <= len(mean), f"components = {components}; allowed: 1 to {len(mean)}")
    basis = np.linalg.eigh(scatter)[1][:, ::-1][:, :components]
    weights = {"mean": mean.astype(np.float32), "basis": basis.astype(np.float32)}
    return Extractor(f"PCA {components}", _components, weights, deviation=255.0, grey=True)


def classifier(model: NoisyClassifier, *, centered: bool = True) -> Extractor:
    """The last features of a classifier trained here, at its lowest noise level. In a config it refers to a run.

    ``centered``: whether it was trained on images from −1 to 1, rather than from 0 to 1.
    """
    mean, deviation = (127.5, 127.5) if centered else (0.0, 255.0)
    return Extractor("classifier", _of_classifier, model, mean=mean, deviation=deviation, grey=True)


def function(of: Callable[[Array], Array], *, version: str = "", size: int = 0, resize: str = "bicubic") -> Extractor:
    """A function of your own of images (n, height, width, 1 or 3), floats from 0 to 255, written in JAX.

    In a config: {"name": "function", "of": "my_package.module:function"}. Change ``version`` when the function changes.
    """
    require(callable(of), f"of = {of!r}; give a function of images, or its import path 'my_package.module:function'")
    name = f"{of.__module__}:{of.__qualname__}" + (f" {version}" if version else "")
    return Extractor(name, functools.partial(_called, of), size=size, resize=resize, grey=True)


def _pixels(weights: Any, x: Float[Array, "n height width channels"]) -> Float[Array, "n d"]:
    return x.reshape(x.shape[0], -1)


def _components(weights: Any, x: Float[Array, "n height width channels"]) -> Float[Array, "n d"]:
    flat = x.reshape(x.shape[0], -1)
    require(
        flat.shape[1] == len(weights["mean"]),
        f"images of {flat.shape[1]} values; the principal components are those of {len(weights['mean'])} values",
    )
    return jnp.matmul(flat - weights["mean"], weights["basis"], precision="highest")


def _of_classifier(model: NoisyClassifier, x: Float[Array, "n height width channels"]) -> Float[Array, "n d"]:
    return model.features(x, model.sde.t_min)


def _called(of: Callable[[Array], Array], weights: Any, x: Float[Array, "n height width channels"]) -> Array:
    return of(x)
