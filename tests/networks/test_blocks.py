"""Blocks against their formulas in numpy, and their gradients against finite differences in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from score_sde.networks.blocks import ACTIVATIONS, Attention, Combine, GroupNorm, Head, ResBlock, dropout, dropout_seeds
from score_sde.networks.embed import ClassEmbedding, NoiseEmbedding, positional
from score_sde.networks.resample import Downsample, Upsample
from tests.networks.quick import quick_jit

SWISH = ACTIVATIONS["swish"]
F64 = {"dtype": jnp.float64}


def res_block(**options):
    options = {"activation": SWISH, "init_scale": 1.0, "rngs": nnx.Rngs(0), **F64, **options}
    return ResBlock(8, options.pop("out", 12), 5, **options)


BLOCKS = {
    "biggan": lambda: res_block(skip_rescale=True),
    "biggan up": lambda: res_block(out=8, resample="up", fir=(1, 3, 3, 1)),
    "biggan down": lambda: res_block(out=8, resample="down", fir=(1, 3, 3, 1)),
    "biggan down without a filter": lambda: res_block(out=8, resample="down"),
    "ddpm": lambda: res_block(shortcut_init_scale=0.1, activation=ACTIVATIONS["elu"]),
    "dropout": lambda: res_block(dropout_rate=0.3),
    "attention": lambda: Attention(8, heads=2, init_scale=1.0, skip_rescale=True, rngs=nnx.Rngs(0), **F64),
    "combine": lambda: Combine(8, 4, method="cat", rngs=nnx.Rngs(0), **F64),
    "head": lambda: Head(8, 3, activation=SWISH, groups=None, rngs=nnx.Rngs(0), **F64),
    "downsample": lambda: Downsample(8, 6, fir=(1, 3, 3, 1), rngs=nnx.Rngs(0), **F64),
    "upsample": lambda: Upsample(8, 6, fir=(1, 3, 3, 1), rngs=nnx.Rngs(0), **F64),
}


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS.keys())
def test_gradients_agree_with_finite_differences(make, x64):
    block = jax.tree.map(lambda p: p.astype(jnp.float64), make())
    key = jax.random.key(0)
    x = jax.random.normal(key, (2, 4, 6, 8), jnp.float64)
    arguments = {
        ResBlock: (jax.random.normal(key, (2, 5), jnp.float64), dropout_seeds(jax.random.split(key, 2))),
        Combine: (jnp.ones((2, 4, 6, 4)),),
    }.get(type(block), ())

    def of(block, x):
        return jnp.sum(jnp.sin(block(x, *arguments)))

    loss, gradient = quick_jit(of), quick_jit(jax.grad(of, (0, 1)))(block, x)
    direction = jax.tree.map(lambda p: jnp.asarray(np.random.default_rng(p.size).normal(size=p.shape)), (block, x))
    # JAX's attention takes its softmax in float32 whatever it is given.
    step, rtol = (1e-4, 2e-5) if isinstance(block, Attention) else (1e-5, 1e-7)
    ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * step * d, (block, x), direction) for s in (1, -1))
    numeric = (loss(*ahead) - loss(*behind)) / (2 * step)
    exact = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
    np.testing.assert_allclose(exact, numeric, rtol=rtol)


def test_group_norm():
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(2, 4, 5, 12)).astype(np.float32)
    groups = x.astype(np.float64).reshape(2, 20, 3, 4)
    moments = groups.mean((1, 3), keepdims=True), groups.var((1, 3), keepdims=True)
    want = ((groups - moments[0]) / np.sqrt(moments[1] + 1e-6)).reshape(x.shape)
    np.testing.assert_allclose(GroupNorm(12)(jnp.asarray(x)), want, atol=1e-6)
    assert (GroupNorm(12).groups, GroupNorm(512).groups, GroupNorm(2).groups) == (3, 32, 1)
    assert GroupNorm(4)(jnp.ones((1, 2, 2, 4), jnp.bfloat16)).dtype == jnp.bfloat16


def test_group_norm_keeps_its_digits_far_from_zero():
    """Mean 1000, deviation 1: a variance from E[x²] − E[x]² would lose all digits."""
    x = np.random.default_rng(0).normal(1000.0, 1.0, size=(1, 16, 16, 4)).astype(np.float32)
    want = (x.astype(np.float64) - x.mean(dtype=np.float64)) / x.std(dtype=np.float64)
    np.testing.assert_allclose(GroupNorm(4)(jnp.asarray(x)), want, atol=2e-4)


def test_attention_with_heads():
    block = Attention(8, heads=2, init_scale=1.0, rngs=nnx.Rngs(1))
    x = jax.random.normal(jax.random.key(0), (1, 3, 2, 8))
    tokens = np.asarray(block.norm(x), np.float64).reshape(6, 8)
    q, k, v = (
        tokens @ np.asarray(layer.kernel[...], np.float64) + np.asarray(layer.bias[...])
        for layer in (block.query, block.key, block.value)
    )
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        logits = q[:, part] @ k[:, part].T / np.sqrt(4)
        weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        heads.append(weights @ v[:, part])
    want = np.concatenate(heads, 1) @ np.asarray(block.out.kernel[...], np.float64) + np.asarray(block.out.bias[...])
    np.testing.assert_allclose(block(x)[0].reshape(6, 8) - x[0].reshape(6, 8), want, atol=1e-5)
    with pytest.raises(ValueError, match="attention_heads = 3 does not divide the 8 channels"):
        Attention(8, heads=3, rngs=nnx.Rngs(0))


def test_dropout_masks():
    """The rate, and independence: between examples, layers and neighbouring entries."""
    x, keys = jnp.ones((4, 64, 64, 8)), jax.random.split(jax.random.key(0), 4)
    seeds = dropout_seeds(keys)
    y = np.asarray(dropout(x, seeds, 0.1, 3))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.9], rtol=1e-6)
    dropped = (y == 0) - 0.1
    deviation = np.sqrt(0.09 / dropped[0].size)
    assert np.abs(dropped.mean((1, 2, 3))).max() < 4 * deviation
    other = (np.asarray(dropout(x, seeds, 0.1, 4)) == 0) - 0.1
    pairs = {
        "layers": dropped * other,
        "examples": dropped[1:] * dropped[:-1],
        "neighbours": dropped[..., 1:] * dropped[..., :-1],
        "rows": dropped[:, 1:] * dropped[:, :-1],
    }
    for name, product in pairs.items():
        assert abs(product.mean()) < 4.5 * 0.09 / np.sqrt(product.size), name
    assert dropout(x, None, 0.1, 0) is x


def test_dropout_of_an_example_does_not_depend_on_its_batch():
    x, keys = jax.random.normal(jax.random.key(1), (5, 4, 4, 2)), jax.random.split(jax.random.key(0), 5)
    together = dropout(x, dropout_seeds(keys), 0.5, 7)
    alone = dropout(x[3:4], dropout_seeds(keys[3:4]), 0.5, 7)
    np.testing.assert_array_equal(together[3:4], alone)
    assert (together[2] == 0).tolist() != (together[3] == 0).tolist()


def test_embeddings():
    levels = np.array([0.5, 321.0], np.float32)
    frequencies = np.exp(-np.arange(4) * np.log(10000.0) / 3)
    want = np.concatenate([np.sin(levels[:, None] * frequencies), np.cos(levels[:, None] * frequencies)], 1)
    np.testing.assert_allclose(positional(jnp.asarray(levels), 8), want, atol=5e-5)
    assert positional(jnp.ones(1), 9).shape == (1, 9)
    assert positional(jnp.ones(1), 9)[0, -1] == 0

    options = {"fourier_scale": 1.0, "activation": SWISH, "rngs": nnx.Rngs(0)}
    fourier = NoiseEmbedding(8, 16, embedding_type="fourier", **options)
    raw = NoiseEmbedding(8, 16, embedding_type="fourier_raw", **(options | {"rngs": nnx.Rngs(0)}))
    np.testing.assert_allclose(fourier(jnp.asarray(levels)), raw(jnp.log(levels)), atol=1e-5)
    angles = 2 * np.pi * np.log(levels)[:, None] * np.asarray(fourier.frequencies[...])
    np.testing.assert_allclose(
        fourier.features(jnp.asarray(levels)), np.concatenate([np.sin(angles), np.cos(angles)], 1), atol=1e-5
    )
    assert (jax.grad(lambda m: jnp.sum(m(jnp.asarray(levels))))(fourier).frequencies[...] == 0).all()  # frozen


def test_class_embedding():
    table = ClassEmbedding(3, 4, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(table(jnp.array([3, 0])), table.table[...][jnp.array([3, 0])])
    for wrong in (4, -1):
        with pytest.raises(
            ValueError, match=rf'condition\["label"\] holds {wrong}; allowed: 0 ... 2, and 3 for no class'
        ):
            table(jnp.array([0, wrong]))
        inside_jit = quick_jit(lambda t, y: t(y))(table, jnp.array([0, wrong]))
        assert jnp.isnan(inside_jit[1]).all()
        assert jnp.isfinite(inside_jit[0]).all()
    known = jnp.array([3, 0])
    np.testing.assert_array_equal(quick_jit(lambda t: t(known))(table), table(known))  # closed over, not an argument
