"""DINOv2 (Oquab et al. 2023): the class token of a vision transformer with patches of 14 pixels, for FD-DINOv2.

Its weights are those of torch hub (dinov2_vits14_pretrain.pth, vitb14, vitl14) or of Hugging Face (.safetensors).
"""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.evaluation.features.extractor import Extractor
from score_sde.evaluation.features.weights import read

PATCH, HEAD_WIDTH, EPSILON = 14, 64, 1e-6
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet's colours
MODES = {"edm2": "bicubic", "dgm-eval": "bicubic_bytes"}
"""How images are resized."""
SIZES = {384: "S", 768: "B", 1024: "L"}


def dinov2(
    file: str | Path | None = None,
    *,
    mode: Literal["edm2", "dgm-eval"] = "edm2",
    size: int = 224,
    offset: float | None = None,
) -> Extractor:
    """The normalised class token. The model (S, B or L) follows from the file; without one, that of ``score_sde weights``.

    ``mode``: whether images are resized as EDM2 does, keeping floats, or as dgm-eval does, in bytes.
    ``offset``: what is added to the number of patches when the position embeddings are resized: 0.1 in torch hub's code,
    0 in Hugging Face's; unless given, as the file's origin does.
    """
    require(mode in MODES, f"mode = {mode!r}; allowed: {', '.join(map(repr, MODES))}")
    require(size % PATCH == 0 and size > 0, f"size = {size}; allowed: multiples of {PATCH}, such as 224")
    state = read("dinov2", file)
    hub = "cls_token" in state
    weights = dict(_from_hub(state)) if hub else dict(_from_hugging_face(state))
    width = weights["class"].shape[-1]
    require(width in SIZES, f"the class token has {width} numbers; DINOv2 S, B and L have {', '.join(map(str, SIZES))}")
    offset = (0.1 if hub else 0.0) if offset is None else offset
    weights["positions"] = resized_positions(weights["positions"], size // PATCH, offset)
    name = f"DINOv2 {SIZES[width]} ({mode})"
    return Extractor(name, _class_token, weights, size=size, resize=MODES[mode], mean=MEAN, deviation=DEVIATION)


def resized_positions(positions: np.ndarray, side: int, offset: float) -> np.ndarray:
    """(1 + side², width) from the (1 + 37², width) it was trained with, by bicubic interpolation with a = −3/4."""
    old = math.isqrt(len(positions) - 1)
    if side == old:
        return positions
    matrix = _bicubic_matrix(old, side, old / (side + offset))
    grid = positions[1:].reshape(old, old, -1)
    resized = np.einsum("ih,jw,hwc->ijc", matrix, matrix, grid).reshape(side * side, -1)
    return np.concatenate([positions[:1], resized]).astype(np.float32)


def _bicubic_matrix(old: int, new: int, step: float) -> np.ndarray:
    """The weights of torch's bicubic interpolation without antialiasing; positions beyond the border repeat it."""
    a = -0.75

    def kernel(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0))

    position = (np.arange(new) + 0.5) * step - 0.5
    first = np.floor(position).astype(int)
    matrix = np.zeros((new, old))
    for tap in range(-1, 3):
        np.add.at(matrix, (np.arange(new), np.clip(first + tap, 0, old - 1)), kernel(position - (first + tap)))
    return matrix


def _class_token(weights: Mapping[str, Array], x: Float[Array, "n size size 3"]) -> Float[Array, "n width"]:
    n, side = x.shape[0], x.shape[1] // PATCH
    patches = x.reshape(n, side, PATCH, side, PATCH, 3).transpose(0, 1, 3, 2, 4, 5).reshape(n, side * side, -1)
    tokens = patches @ weights["patch.kernel"] + weights["patch.bias"]
    first = jnp.broadcast_to(weights["class"], (n, 1, tokens.shape[-1]))
    h = jnp.concatenate([first, tokens], axis=1) + weights["positions"]
    layers = {name.removeprefix("layers."): value for name, value in weights.items() if name.startswith("layers.")}
    h, _ = jax.lax.scan(lambda h, layer: (_layer(layer, h), None), h, layers)
    return _norm(h[:, 0], weights["norm.scale"], weights["norm.bias"])


def _layer(w: Mapping[str, Array], h: Float[Array, "n tokens width"]) -> Float[Array, "n tokens width"]:
    """h ← h + s₁ attention(norm h),  h ← h + s₂ MLP(norm h)."""
    n, tokens, width = h.shape
    qkv = _norm(h, w["norm1.scale"], w["norm1.bias"]) @ w["qkv.kernel"] + w["qkv.bias"]
    q, k, v = jnp.moveaxis(qkv.reshape(n, tokens, 3, width // HEAD_WIDTH, HEAD_WIDTH), 2, 0)
    attended = jax.nn.dot_product_attention(q, k, v).reshape(n, tokens, width)
    h = h + w["scale1"] * (attended @ w["proj.kernel"] + w["proj.bias"])
    inner = _norm(h, w["norm2.scale"], w["norm2.bias"]) @ w["fc1.kernel"] + w["fc1.bias"]
    return h + w["scale2"] * (jax.nn.gelu(inner, approximate=False) @ w["fc2.kernel"] + w["fc2.bias"])


def _norm(x: Array, scale: Array, bias: Array) -> Array:
    return jax.nn.standardize(x, axis=-1, epsilon=EPSILON) * scale + bias


def _from_hub(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Our arrays from torch hub's names."""
    names = {
        "norm1.scale": "norm1.weight",
        "norm1.bias": "norm1.bias",
        "qkv.kernel": "attn.qkv.weight",
        "qkv.bias": "attn.qkv.bias",
        "proj.kernel": "attn.proj.weight",
        "proj.bias": "attn.proj.bias",
        "scale1": "ls1.gamma",
        "norm2.scale": "norm2.weight",
        "norm2.bias": "norm2.bias",
        "fc1.kernel": "mlp.fc1.weight",
        "fc1.bias": "mlp.fc1.bias",
        "fc2.kernel": "mlp.fc2.weight",
        "fc2.bias": "mlp.fc2.bias",
        "scale2": "ls2.gamma",
    }
    depth = 1 + max((int(name.split(".")[1]) for name in state if name.startswith("blocks.")), default=-1)
    layers = {ours: [state.get(f"blocks.{i}.{theirs}") for i in range(depth)] for ours, theirs in names.items()}
    ends = ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias")
    return _assembled(layers, [state.get(name) for name in ends])


def _from_hugging_face(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Our arrays from the names of transformers' Dinov2Model, those of its versions 4 and 5."""
    attention = "attention.attention"
    renamed = {
        "q_proj": "attention.query",
        "k_proj": "attention.key",
        "v_proj": "attention.value",
        "o_proj": "output.dense",
    }

    def earlier(name: str) -> str:
        for new, old in renamed.items():
            name = name.replace(f"attention.{new}.", f"attention.{old}.")
        return name.removeprefix("dinov2.")

    state = {earlier(name): value for name, value in state.items()}
    depth = 1 + max((int(name.split(".")[2]) for name in state if name.startswith("encoder.layer.")), default=-1)

    def each(*parts: str) -> list[Any]:
        found = [[state.get(f"encoder.layer.{i}.{part}") for part in parts] for i in range(depth)]
        return [None if any(a is None for a in row) else np.concatenate([np.asarray(a) for a in row]) for row in found]

    layers = {
        f"qkv.{ours}": each(*(f"{attention}.{part}.{theirs}" for part in ("query", "key", "value")))
        for ours, theirs in (("kernel", "weight"), ("bias", "bias"))
    }
    layers |= {"scale1": each("layer_scale1.lambda1"), "scale2": each("layer_scale2.lambda1")}
    for name, theirs in {"proj": "attention.output.dense", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}.items():
        layers |= {f"{name}.kernel": each(f"{theirs}.weight"), f"{name}.bias": each(f"{theirs}.bias")}
    for name in ("norm1", "norm2"):
        layers |= {f"{name}.scale": each(f"{name}.weight"), f"{name}.bias": each(f"{name}.bias")}
    patch = "embeddings.patch_embeddings.projection"
    ends = ("embeddings.cls_token", "embeddings.position_embeddings", f"{patch}.weight", f"{patch}.bias")
    return _assembled(layers, [state.get(name) for name in (*ends, "layernorm.weight", "layernorm.bias")])


def _assembled(layers: Mapping[str, list[Any]], ends: list[Any]) -> dict[str, np.ndarray]:
    """Layers stacked along a first axis, matrices as (in, out), the patch's pixels in the order row, column, colour."""
    missing = [name for name, values in layers.items() if not values or any(value is None for value in values)]
    require(
        not missing and all(end is not None for end in ends),
        f"the file is not a DINOv2 S, B or L: it lacks {', '.join(missing[:3]) or 'its embeddings'}",
    )
    as_float = functools.partial(np.asarray, dtype=np.float32)
    weights = {}
    for name, values in layers.items():
        stacked = np.stack([as_float(value) for value in values])
        weights[f"layers.{name}"] = stacked.transpose(0, 2, 1) if name.endswith("kernel") else stacked
    token, positions, kernel, bias, scale, shift = map(as_float, ends)
    return weights | {
        "class": token.reshape(1, 1, -1),
        "positions": positions[0],
        "patch.kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0]),
        "patch.bias": bias,
        "norm.scale": scale,
        "norm.bias": shift,
    }
