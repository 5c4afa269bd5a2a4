"""IP-Adapter (Ye et al. 2023): an image as a prompt, by tokens that every cross-attention sees beside those of the text.

tokens = LayerNorm(W e)     n of them, from the embedding e of an image
Attn(q, K, V) + s Attn(q, K', V'),     K' and V' linear in the tokens, trained; V' is zero at first
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import nnx

from score_sde.checks import require
from score_sde.networks.adapters.adapted import Adapter, Condition, check_base, leaf_of, weight_of, zero
from score_sde.networks.cross_attention import Context, CrossAttention
from score_sde.networks.embed import Dense
from score_sde.networks.ncsnpp import NCSNpp


class ImageTokens(Adapter):
    """``condition[leaf]``: a vector (batch, ``features``); ``condition["image_scale"]``: s, 1 unless given."""

    def __init__(self, base: NCSNpp, *, features: int, tokens: int = 4, leaf: str = "image", rngs: nnx.Rngs):
        check_base(base)
        if base.text is None:
            raise ValueError("an image prompt is seen by cross-attentions, which the base lacks: it is told no text")
        require(features >= 1 and tokens >= 1, f"features = {features} and tokens = {tokens}; allowed: 1 or more")
        width = base.text.places.shape[-1]
        layout: dict[str, Any] = {"dtype": base.dtype, "rngs": rngs}
        self.project = Dense(features, tokens * width, **layout)
        self.norm = nnx.LayerNorm(width, epsilon=1e-5, **layout)
        places = [cross.query.kernel.shape[-1] for cross in cross_attentions(base)]
        self.keys = nnx.List(Dense(width, channels, **layout) for channels in places)
        self.values = nnx.List(zero(Dense(width, channels, **layout)) for channels in places)
        self.features = features
        self.leaf = leaf

    def context(self, context: Context | None, condition: Condition) -> Context | None:
        assert context is not None
        vector = leaf_of(condition, self.leaf, f"a vector of {self.features} numbers")
        batch = len(context.tokens)
        require(
            jnp.shape(vector) == (batch, self.features),
            f"condition[{self.leaf!r}] has shape {jnp.shape(vector)}; needed: {(batch, self.features)}",
        )
        require(not context.more, "two image prompts: one network has one of them; concatenate their vectors")
        tokens = self.norm(self.project(vector).reshape(batch, -1, self.norm.num_features))
        weight = weight_of(condition, f"{self.leaf}_scale", batch)
        more = tuple((key(tokens), value(tokens), weight) for key, value in zip(self.keys, self.values, strict=True))
        return dataclasses.replace(context, more=more)


def cross_attentions(network: NCSNpp) -> list[CrossAttention]:
    """In the order of their numbers."""
    found = [module for _, module in nnx.iter_modules(network) if isinstance(module, CrossAttention)]
    return sorted(found, key=lambda cross: cross.number)
