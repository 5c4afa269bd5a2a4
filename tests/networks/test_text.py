"""Texts in the U-Nets: tokens, cross-attention, masks."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from score_sde.networks import ADM, NCSNpp
from score_sde.networks.cross_attention import Context, CrossAttention
from tests.networks.quick import draw, quick_jit

TINY = {"nf": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (4,), "text_length": 5, "text_width": 6}


@functools.cache
def told(kind="words"):
    if kind == "adm":
        own = TINY | {"nf": 32, "head_channels": 32}
        return draw(lambda: ADM(8, 1, **own, text_vocabulary=11, rngs=nnx.Rngs(0)))
    form = {"text_vocabulary": 11} if kind == "words" else {"text_features": 3}
    return draw(lambda: NCSNpp(8, 1, **TINY, **form, rngs=nnx.Rngs(0)))


def images(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


@quick_jit
def output(network, x, text):
    return network(x, jnp.full(x.shape[0], 0.3), {"text": text})


def test_cross_attention_by_its_formula():
    layer = draw(lambda: CrossAttention(8, 6, 0, heads=2, rngs=nnx.Rngs(0)))
    x, tokens = images(2, 2, 2, 8), images(2, 3, 6)
    mask = jnp.array([[True, True, False], [True, True, True]])
    found = layer(x, Context(tokens, mask))
    normal = np.asarray(layer.norm(x)).reshape(2, 4, 8)
    q, k, v = (
        np.asarray(a) @ np.asarray(d.kernel[...]) + np.asarray(d.bias[...])
        for a, d in ((normal, layer.query), (tokens, layer.key), (tokens, layer.value))
    )
    for i, there in enumerate((2, 3)):
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            weights = np.exp(q[i, :, h] @ k[i, :there, h].T / 2)
            heads.append(weights / weights.sum(1, keepdims=True) @ v[i, :there, h])
        out = np.concatenate(heads, axis=1) @ np.asarray(layer.out.kernel[...]) + np.asarray(layer.out.bias[...])
        np.testing.assert_allclose(found[i], x[i] + out.reshape(2, 2, 8), rtol=1e-4, atol=1e-5)


def test_further_tokens_are_added_before_the_last_projection():
    """x + W_out [Attn(q, K, V) + s Attn(q, K', V')]; with s = 0 not a bit changes."""
    layer = draw(lambda: CrossAttention(8, 6, 0, rngs=nnx.Rngs(0)))
    x, tokens, k, v = images(2, 2, 2, 8), images(2, 3, 6), images(2, 4, 8), images(2, 4, 8)
    context = Context(tokens, jnp.ones((2, 3), bool))
    plain = layer(x, context)
    more = lambda s: layer(x, dataclasses.replace(context, more=((k, v, jnp.array([0.0, s])),)))  # noqa: E731
    np.testing.assert_array_equal(more(0.0), plain)
    once, twice = more(1.0) - plain, more(2.0) - plain
    np.testing.assert_array_equal(once[0], 0)
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-4, atol=1e-5)
    assert float(jnp.max(jnp.abs(once[1]))) > 1e-2


@pytest.mark.parametrize("kind", ["words", "adm"])
def test_a_text_matters_and_only_to_its_own_picture(kind):
    network, x = told(kind), images(2, 8, 8, 1)
    text = jnp.array([[1, 3, 4, 0, 0], [1, 5, 0, 0, 0]])
    found = output(network, x, text)
    other = output(network, x, text.at[1, 1].set(6))
    np.testing.assert_array_equal(found[0], other[0])
    assert float(jnp.max(jnp.abs(found[1] - other[1]))) > 1e-3
    order = output(network, x, text.at[0].set(jnp.array([1, 4, 3, 0, 0])))
    assert float(jnp.max(jnp.abs(found[0] - order[0]))) > 1e-4  # the places of words


def test_what_is_not_there_does_not_matter():
    """The vector of 0 is never seen, whatever its value."""
    network, x, text = told(), images(2, 8, 8, 1), jnp.array([[1, 3, 4, 0, 0], [1, 5, 0, 0, 0]])
    found = output(network, x, text)
    graph, state = nnx.split(network)
    table = state["text"]["words"]
    table.set_value(table[...].at[0].set(100.0))
    np.testing.assert_array_equal(output(nnx.merge(graph, state), x, text), found)


def test_features_of_an_encoder():
    network, x, text = told("features"), images(2, 8, 8, 1), images(2, 5, 3)
    found = output(network, x, text)
    padded = output(network, x, text.at[:, 3:].set(0))
    assert found.shape == x.shape
    assert float(jnp.max(jnp.abs(found - padded))) > 1e-4


@pytest.mark.parametrize("kind", ["words", "adm"])
def test_every_parameter_of_the_text_has_its_effect(kind):
    network, x, text = told(kind), images(1, 8, 8, 1), jnp.array([[1, 3, 4, 5, 6]])

    @quick_jit
    def gradient(network):
        return jax.grad(lambda network: jnp.sum(jnp.sin(network(x, jnp.ones(1), {"text": text}))))(network)

    for path, leaf in nnx.to_flat_state(nnx.state(gradient(network), nnx.Param)):
        if "text" in path or "cross" in path:
            silent = path[-2:] == ("key", "bias")  # a constant added to every key cancels
            assert silent or float(jnp.max(jnp.abs(leaf[...]))) > 1e-7, path


@pytest.mark.usefixtures("unchecked")
def test_bad_input():
    network, x = told(), images(2, 8, 8, 1)
    with pytest.raises(ValueError, match=r"told a text: give condition\['text'\] of shape \(2, 5\), a whole number"):
        network(x, jnp.ones(2), None)
    with pytest.raises(ValueError, match=r"condition\['text'\] is float32\[2, 5\]; this network is told"):
        network(x, jnp.ones(2), {"text": jnp.ones((2, 5))})
    with pytest.raises(ValueError, match=r"condition\['text'\] is int32\[2, 4\]"):
        network(x, jnp.ones(2), {"text": jnp.ones((2, 4), int)})
    outside = network(x, jnp.ones(2), {"text": jnp.full((2, 5), 11)})
    assert bool(jnp.isnan(outside).all())  # as a label that is no class
