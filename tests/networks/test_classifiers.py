"""Classifiers of images: pooling by attention, and the wide residual network."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from score_sde.networks import Classifier, WideResNet
from score_sde.networks.pool import AttentionPool
from tests.networks.quick import draw, quick_jit

CLASSIFIER = (
    Path(__file__).parents[2].parent / "shared" / "reference" / "ncsn_more" / "classifier" / "wideresnet_b1_m1.npz"
)
NORM = {"scale": "scale", "bias": "bias"}
LEVELS = jnp.array([-0.4, 0.1, 0.7])
SMALL = {"num_classes": 3, "nf": 8, "num_res_blocks": 1}


def attending(size=8, **options):
    options = {"ch_mult": (1, 2), "attn_resolutions": (), "attention_heads": 2, "pool": "attention"} | options
    return draw(lambda: Classifier(size, 1, **SMALL, **options, rngs=nnx.Rngs(0)))


def wide(size=8, channels=1, **options):
    return draw(lambda: WideResNet(size, channels, **SMALL | {"width": 2} | options, rngs=nnx.Rngs(0)))


def images(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def test_attention_pool_by_its_formula():
    pool = draw(lambda: AttentionPool((2, 3), 8, heads=2, rngs=nnx.Rngs(0)))
    h = images(4, 2, 3, 8)
    found = pool(h)
    for i in range(4):
        rows = np.asarray(h[i], np.float64).reshape(6, 8)
        tokens = np.concatenate([rows.mean(0, keepdims=True), rows]) + np.asarray(pool.positions[...])
        q, k, v = (
            tokens @ np.asarray(d.kernel[...]) + np.asarray(d.bias[...]) for d in (pool.query, pool.key, pool.value)
        )
        out = []
        for head in (slice(0, 4), slice(4, 8)):
            weights = np.exp(q[0, head] @ k[:, head].T / 2)
            out.append(weights / weights.sum() @ v[:, head])
        np.testing.assert_allclose(found[i], np.concatenate(out), rtol=1e-4, atol=1e-5)


def test_the_mean_forgets_where_and_attention_does_not():
    """Moving whole features does not change their mean; the positions of the attention pool see it."""
    pool, h = draw(lambda: AttentionPool((4, 4), 8, rngs=nnx.Rngs(0))), images(2, 4, 4, 8)
    rolled = jnp.roll(h, 1, axis=1)
    assert float(jnp.max(jnp.abs(pool(h) - pool(rolled)))) > 1e-2
    pool.positions = nnx.Param(jnp.zeros_like(pool.positions[...]))
    np.testing.assert_allclose(pool(h), pool(rolled), rtol=1e-4, atol=1e-5)


@quick_jit
def logits_of(network, x, keys, levels=LEVELS):
    return network(x, levels, dropout_keys=keys)


@quick_jit
def gradient_of(network, x):
    return jax.grad(lambda n: jnp.sum(jnp.sin(n(x, LEVELS[:1]))))(network)


@pytest.mark.parametrize("make", [attending, wide])
def test_logits(make):
    """Every parameter has its effect; an example depends on its noise level and its key, not on its neighbours."""
    network, x, keys = make(dropout=0.5), images(3, 8, 8, 1), jax.random.split(jax.random.key(0), 3)
    logits = logits_of(network, x, keys)
    assert logits.shape == (3, 3)
    np.testing.assert_array_equal(logits_of(network, x.at[1:].add(1.0), keys, LEVELS.at[1:].add(1.0))[0], logits[0])
    for other in (logits_of(network, x, keys[::-1]), logits_of(network, x, keys, LEVELS[::-1])):
        assert float(jnp.max(jnp.abs(other - logits)[::2])) > 1e-2
    gradient = gradient_of(network, x[:1])
    sizes = {path: float(jnp.max(jnp.abs(g[...]))) for path, g in nnx.to_flat_state(nnx.state(gradient, nnx.Param))}
    idle = [path for path, size in sizes.items() if size < 1e-6 * max(sizes.values())]
    assert all(path[-2:] == ("key", "bias") for path in idle), idle  # a constant added to every key cancels


def test_a_wide_network_has_its_size():
    """WRN-28-10 without its shortcuts' weights; the noise level adds an embedding, and a dense layer to each block."""
    network = nnx.eval_shape(lambda: WideResNet(32, 3, num_classes=10, rngs=nnx.Rngs(0)))
    size = lambda *parts: sum(leaf.size for leaf in jax.tree.leaves([nnx.state(part, nnx.Param) for part in parts]))  # noqa: E731
    untold = size(network) - size(network.noise_embedding, *(block.dense for block in network.blocks))
    convolutions = 9 * 3 * 16 + sum(
        9 * (before * after + 7 * after**2) for before, after in ((16, 160), (160, 320), (320, 640))
    )
    assert convolutions < untold < 1.002 * convolutions
    assert [block.conv_0.stride for block in network.blocks] == [1, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1]


@pytest.mark.skipif(not CLASSIFIER.exists(), reason="the reference arrays (../shared/reference) are absent")
def test_the_wide_network_is_the_originals():
    """Logits and the gradient of log p(y | x) with its weights; the first layer of its embedding is frozen."""
    arrays = np.load(CLASSIFIER)
    network = wide(16, num_classes=10, nf=16, width=1, channels=3)
    dense = {"kernel": "kernel", "bias": "bias"}
    blocks = {f"blocks.{i}": f"WideResnetGroup_{i}/WideResnetBlock_0" for i in range(3)}
    names = {
        "conv_in": ("init_conv", {"kernel": "kernel"}),
        "norm": ("pre-pool-bn", NORM),
        "logits": ("Dense_2", dense),
    }
    names |= {f"noise_embedding.dense_{i}": (f"Dense_{i}", dense) for i in range(2)}
    for ours, theirs in blocks.items():
        names |= {f"{ours}.conv_{i}": (f"{theirs}/conv{i + 1}", {"kernel": "kernel"}) for i in range(2)}
        names |= {f"{ours}.norm_0": (f"{theirs}/init_bn", NORM), f"{ours}.norm_1": (f"{theirs}/bn_2", NORM)}
        names[f"{ours}.dense"] = (f"{theirs}/Dense_0", dense)
    loaded = {
        f"{ours}.{a}": arrays[f"params/{theirs}/{b}"]
        for ours, (theirs, leaves) in names.items()
        for a, b in leaves.items()
    }
    loaded["noise_embedding.frequencies"] = arrays["params/GaussianFourierProjection_0/W"]
    variables = {".".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(nnx.state(network))}
    assert set(loaded) == set(variables)
    assert sum(value.size for value in loaded.values()) == sum(leaf.size for leaf in variables.values())
    for name, value in loaded.items():
        variables[name].set_value(jnp.asarray(value))
    level, y = jnp.log(jnp.asarray(arrays["ve_noise_scale"])), jnp.asarray(arrays["labels"])
    with jax.default_matmul_precision("highest"):
        logits = logits_of(network, jnp.asarray(arrays["data"]), None, level)
    np.testing.assert_allclose(logits, arrays["logits_without_preprocess"], atol=2e-5 * np.abs(arrays["logits"]).max())
    # With the original's scaling of CIFAR-10 to mean 0 and standard deviation 1 of each channel.
    mean, std = jnp.array([0.49139968, 0.48215841, 0.44653091]), jnp.array([0.24703223, 0.24348513, 0.26158784])

    @quick_jit
    def log_prob(network, x):
        def total(x):
            logs = jax.nn.log_softmax(network((x - mean) / std, level))
            return jnp.sum(jnp.take_along_axis(logs, y[:, None], 1))

        return jax.grad(total)(x)

    with jax.default_matmul_precision("highest"):
        gradient = log_prob(network, jnp.asarray(arrays["data"]))
    wanted = arrays["grad_log_prob"]
    assert np.abs(gradient - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_bad_input():
    with pytest.raises(ValueError, match="pool = 'max'; allowed: 'mean', 'attention'"):
        attending(pool="max")
    with pytest.raises(ValueError, match="attention_heads = 3 does not divide the 8 channels of the attention pool"):
        AttentionPool((2, 2), 8, heads=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"positions for features of \(4, 4\), but they are \(8, 8\).*pool = \"mean\""):
        attending()(images(1, 16, 16, 1), LEVELS[:1])
    with pytest.raises(ValueError, match=r"image_size = \(10, 10\) cannot be halved 2 times"):
        wide(10)
    with pytest.raises(ValueError, match="width = 0; allowed: 1 or more"):
        wide(width=0)
