"""InceptionV3 as FID uses it (Szegedy et al. 2016; the graph of 2015-12-05): pool3, logits without bias, spatial features.

It differs from other InceptionV3s: average pools do not count the padding, the last block has a max pool, there are 1008
logits. The weights are pt_inception-2015-12-05-6726825d.pth, which pytorch-fid and torch-fidelity download.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.evaluation.features.extractor import Extractor
from score_sde.evaluation.features.folding import folded
from score_sde.evaluation.features.weights import read

SIZE = 299
# How images are prepared: (resize, mean, deviation).
MODES = {
    "tf": ("bilinear_tf1", 128.0, 128.0),
    "pytorch-fid": ("bilinear", 127.5, 127.5),
    "clean-fid": ("bicubic", 128.0, 128.0),
}
VALID = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_4a_3x3")
"""The convolutions of stride 1 that do not pad."""
Conv = Callable[..., Array]


def inception(
    file: str | Path | None = None,
    *,
    mode: Literal["tf", "pytorch-fid", "clean-fid"] = "tf",
    output: Literal["pool3", "logits", "spatial"] = "pool3",
) -> Extractor:
    """Features for FID and KID ("pool3"), the Inception score ("logits") and sFID ("spatial").

    ``mode``: "tf" is that of ADM, EDM and torch-fidelity. ``file``: by default what ``score_sde weights`` left.
    """
    require(mode in MODES, f"mode = {mode!r}; allowed: {', '.join(map(repr, MODES))}")
    outputs = {"pool3": _pool3, "logits": _logits, "spatial": _spatial}
    require(output in outputs, f"output = {output!r}; allowed: {', '.join(map(repr, outputs))}")
    weights = converted(read("inception", file))
    resize, mean, deviation = MODES[mode]
    name = f"InceptionV3 {output} ({mode})"
    return Extractor(name, outputs[output], weights, size=SIZE, resize=resize, mean=mean, deviation=deviation)


def converted(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights by layer, each convolution with its normalisation folded in; the last layer without bias."""
    names = sorted(name.removesuffix(".conv.weight") for name in state if name.endswith(".conv.weight"))
    require(
        len(names) == 94 and "fc.weight" in state,
        f"the file has {len(names)} convolutions; InceptionV3 for FID has 94, and a last layer fc",
    )
    weights: dict[str, np.ndarray] = {}
    for name in names:
        weights |= folded(state, f"{name}.conv", f"{name}.bn", name)
    weights["fc.kernel"] = np.asarray(state["fc.weight"], np.float32).T
    return weights


def _pool3(weights: Mapping[str, Array], x: Float[Array, "n 299 299 3"]) -> Float[Array, "n 2048"]:
    conv = _convolution(weights)
    h = _lower(conv, x)
    h = _block_c(conv, "Mixed_6d", h)
    h = _block_c(conv, "Mixed_6e", h)
    h = _block_d(conv, "Mixed_7a", h)
    h = _block_e(conv, "Mixed_7b", h, _average_pool)
    h = _block_e(conv, "Mixed_7c", h, lambda x: _max_pool(x, 1, "SAME"))
    return jnp.mean(h, axis=(1, 2))


def _logits(weights: Mapping[str, Array], x: Float[Array, "n 299 299 3"]) -> Float[Array, "n 1008"]:
    return _pool3(weights, x) @ weights["fc.kernel"]


def _spatial(weights: Mapping[str, Array], x: Float[Array, "n 299 299 3"]) -> Float[Array, "n 2023"]:
    """The first 7 channels of mixed_6/conv (Nash et al. 2021), flattened."""
    conv = _convolution(weights)
    return conv("Mixed_6d.branch1x1", _lower(conv, x))[..., :7].reshape(x.shape[0], -1)


def _lower(conv: Conv, x: Array) -> Array:
    """Everything before Mixed_6d."""
    h = conv("Conv2d_1a_3x3", x, 2)
    h = conv("Conv2d_2b_3x3", conv("Conv2d_2a_3x3", h))
    h = conv("Conv2d_4a_3x3", conv("Conv2d_3b_1x1", _max_pool(h)))
    h = _max_pool(h)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        h = _block_a(conv, name, h)
    h = _block_b(conv, "Mixed_6a", h)
    return _block_c(conv, "Mixed_6c", _block_c(conv, "Mixed_6b", h))


def _convolution(weights: Mapping[str, Array]) -> Conv:
    def conv(name: str, x: Array, stride: int = 1) -> Array:
        padding = "VALID" if stride == 2 or name in VALID else "SAME"
        h = lax.conv_general_dilated(
            x, weights[f"{name}.kernel"], (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(h + weights[f"{name}.bias"])

    return conv


def _chain(conv: Conv, names: list[str], x: Array) -> Array:
    for name in names:
        x = conv(name, x)
    return x


def _block_a(conv: Conv, name: str, x: Array) -> Array:
    return _joined(
        conv(f"{name}.branch1x1", x),
        _chain(conv, [f"{name}.branch5x5_{i}" for i in (1, 2)], x),
        _chain(conv, [f"{name}.branch3x3dbl_{i}" for i in (1, 2, 3)], x),
        conv(f"{name}.branch_pool", _average_pool(x)),
    )


def _block_b(conv: Conv, name: str, x: Array) -> Array:
    double = _chain(conv, [f"{name}.branch3x3dbl_{i}" for i in (1, 2)], x)
    return _joined(conv(f"{name}.branch3x3", x, 2), conv(f"{name}.branch3x3dbl_3", double, 2), _max_pool(x))


def _block_c(conv: Conv, name: str, x: Array) -> Array:
    return _joined(
        conv(f"{name}.branch1x1", x),
        _chain(conv, [f"{name}.branch7x7_{i}" for i in (1, 2, 3)], x),
        _chain(conv, [f"{name}.branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)], x),
        conv(f"{name}.branch_pool", _average_pool(x)),
    )


def _block_d(conv: Conv, name: str, x: Array) -> Array:
    long = _chain(conv, [f"{name}.branch7x7x3_{i}" for i in (1, 2, 3)], x)
    return _joined(
        conv(f"{name}.branch3x3_2", conv(f"{name}.branch3x3_1", x), 2),
        conv(f"{name}.branch7x7x3_4", long, 2),
        _max_pool(x),
    )


def _block_e(conv: Conv, name: str, x: Array, pool: Callable[[Array], Array]) -> Array:
    three = conv(f"{name}.branch3x3_1", x)
    double = _chain(conv, [f"{name}.branch3x3dbl_{i}" for i in (1, 2)], x)
    return _joined(
        conv(f"{name}.branch1x1", x),
        conv(f"{name}.branch3x3_2a", three),
        conv(f"{name}.branch3x3_2b", three),
        conv(f"{name}.branch3x3dbl_3a", double),
        conv(f"{name}.branch3x3dbl_3b", double),
        conv(f"{name}.branch_pool", pool(x)),
    )


def _joined(*branches: Array) -> Array:
    return jnp.concatenate(branches, axis=-1)


def _max_pool(x: Array, stride: int = 2, padding: str = "VALID") -> Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def _average_pool(x: Array) -> Array:
    """Over 3 x 3 pixels inside the image; the padding is not counted."""
    total, count = (
        lax.reduce_window(each, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME") for each in (x, jnp.ones_like(x[:1]))
    )
    return total / count
