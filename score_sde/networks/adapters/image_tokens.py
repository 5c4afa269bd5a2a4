"""IP-Adapter (Ye et al. 2023): an image as a prompt, by tokens that every cross-attention sees beside those of the text.

tokens = LayerNorm(W e)     n of them, from the embedding e of an image; or from several e by a resampler
Attn(q, K, V) + s Attn(q, K', V'),     K' and V' linear in the tokens, trained; V' is zero at first
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.networks.adapters.adapted import Adapter, Condition, check_base, leaf_of, weight_of, zero
from score_sde.networks.cross_attention import Context, CrossAttention
from score_sde.networks.embed import Dense
from score_sde.networks.ncsnpp import NCSNpp
from score_sde.networks.resampler import Resampler


class ImageTokens(Adapter):
    """``condition[leaf]``: a vector (batch, ``features``), or several (batch, n, ``features``); ``condition[leaf_scale]``,
    such as "image_scale": s, 1 unless given. ``depth``: the layers of the resampler; 0 for a linear map of one vector.
    """

    def __init__(
        self,
        base: NCSNpp,
        *,
        features: int,
        tokens: int = 4,
        depth: int = 0,
        heads: int = 4,
        leaf: str = "image",
        rngs: nnx.Rngs,
    ):
        check_base(base)
        if base.text is None:
            raise ValueError("an image prompt is seen by cross-attentions, which the base lacks: it is told no text")
        require(
            features >= 1 and tokens >= 1 and depth >= 0,
            f"features = {features}, tokens = {tokens} and depth = {depth}; allowed: 1 or more, and a depth from 0",
        )
        width = base.text.places.shape[-1]
        layout: dict[str, Any] = {"dtype": base.dtype, "rngs": rngs}
        self.project: Any = (
            Resampler(features, tokens=tokens, width=width, depth=depth, heads=heads, **layout)
            if depth
            else Linear(features, tokens=tokens, width=width, **layout)
        )
        places = [cross.query.kernel.shape[-1] for cross in cross_attentions(base)]
        self.keys = nnx.List(Dense(width, channels, **layout) for channels in places)
        self.values = nnx.List(zero(Dense(width, channels, **layout)) for channels in places)
        self.features = features
        self.leaf = leaf

    def context(self, context: Context | None, condition: Condition) -> Context | None:
        assert context is not None
        require(not context.more, "two image prompts: one network has one of them; concatenate their vectors")
        tokens = self.tokens(condition, len(context.tokens))
        weight = weight_of(condition, f"{self.leaf}_scale", len(tokens))
        more = tuple((key(tokens), value(tokens), weight) for key, value in zip(self.keys, self.values, strict=True))
        return dataclasses.replace(context, more=more)

    def tokens(self, condition: Condition, batch: int) -> Float[Array, "batch tokens width"]:
        """Of the image in the condition."""
        vector = leaf_of(condition, self.leaf, f"a vector of {self.features} numbers")
        several = isinstance(self.project, Resampler) and jnp.ndim(vector) == 3
        form = (batch, jnp.shape(vector)[1], self.features) if several else (batch, self.features)
        require(
            jnp.shape(vector) == form,
            f"condition[{self.leaf!r}] has shape {jnp.shape(vector)}; needed: {form}"
            + (f" or (batch, n, {self.features})" if isinstance(self.project, Resampler) else ""),
        )
        return self.project(vector if several else vector[:, None])


class Linear(nnx.Module):
    """``tokens`` vectors of ``width`` from one, (batch, 1, ``features``)."""

    def __init__(self, features: int, *, tokens: int, width: int, dtype: Any, rngs: nnx.Rngs):
        self.project = Dense(features, tokens * width, dtype=dtype, rngs=rngs)
        self.norm = nnx.LayerNorm(width, epsilon=1e-5, dtype=dtype, rngs=rngs)

    def __call__(self, vector: Float[Array, "batch 1 features"]) -> Float[Array, "batch tokens width"]:
        return self.norm(self.project(vector[:, 0]).reshape(len(vector), -1, self.norm.num_features))


def cross_attentions(network: NCSNpp) -> list[CrossAttention]:
    """In the order of their numbers."""
    found = [module for _, module in nnx.iter_modules(network) if isinstance(module, CrossAttention)]
    return sorted(found, key=lambda cross: cross.number)
