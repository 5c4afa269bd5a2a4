"""The captions of a condition as tokens: words of a vocabulary with learned vectors, or the features of a text encoder."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from score_sde.networks.cross_attention import Context
from score_sde.networks.embed import Dense

TEXT = "text"
"""The leaf of a condition that holds the text."""


class Tokens(nnx.Module):
    """Tokens (batch, length, width), each with a learned vector for its place, and their mean as one vector.

    ``vocabulary``: the leaf holds words, integers below it (batch, length), 0 where there is none; or ``features``: it holds
    vectors of that size (batch, length, features), zero where there is no token.
    """

    def __init__(
        self,
        *,
        vocabulary: int | None,
        features: int | None,
        length: int,
        width: int,
        out_features: int,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if (vocabulary is None) == (features is None):
            raise ValueError(f"vocabulary = {vocabulary} and features = {features}; a text is one or the other")
        words = nnx.Param(jax.random.normal(rngs.params(), (vocabulary, width))) if vocabulary is not None else None
        self.words = words
        self.project = Dense(features, width, dtype=dtype, rngs=rngs) if features is not None else None
        self.places = nnx.Param(0.1 * jax.random.normal(rngs.params(), (length, width)))
        self.pooled = Dense(width, out_features, dtype=dtype, rngs=rngs)
        self.form = (length,) if features is None else (length, features)
        self.dtype = dtype

    def __call__(self, text: Array) -> tuple[Context, Float[Array, "batch out_features"]]:
        """(the tokens, the vector)."""
        if self.words is not None:
            mask, tokens = text != 0, jnp.take(self.words[...], text, axis=0, mode="fill", fill_value=jnp.nan)
        else:
            assert self.project is not None
            mask, tokens = jnp.any(text != 0, axis=-1), self.project(text.astype(jnp.float32))
        tokens = (tokens + self.places[...]).astype(self.dtype)
        return Context(tokens, mask), self.pooled(mean(tokens, mask))

    def of(self, condition: Mapping[str, Array] | None, leaf: str, batch: int) -> Array:
        """The leaf of the condition; a ValueError unless it has the form of this network's text."""
        text = None if condition is None else condition.get(leaf)
        words = "a whole number for each word" if self.words is not None else "a vector for each token"
        needed = (
            f"condition[{leaf!r}] of shape {(batch, *self.form)}, {words}; make it with run.condition({leaf}=[...])"
        )
        if text is None:
            raise ValueError(f"this network is told a text: give {needed}")
        whole = jnp.issubdtype(jnp.result_type(text), jnp.integer)
        if jnp.shape(text) != (batch, *self.form) or whole != (self.words is not None):
            raise ValueError(
                f"condition[{leaf!r}] is {jnp.result_type(text)}{list(jnp.shape(text))}; this network is told {needed}"
            )
        return jnp.asarray(text)


def mean(tokens: Float[Array, "batch length width"], mask: Bool[Array, "batch length"]) -> Float[Array, "batch width"]:
    """Over the tokens that are there."""
    there = mask[..., None].astype(tokens.dtype)
    return jnp.sum(tokens * there, axis=1) / jnp.maximum(jnp.sum(there, axis=1), 1)
