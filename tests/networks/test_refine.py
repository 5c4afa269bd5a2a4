"""The parts of RefineNets against plain formulas, and what a RefineNet refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from score_sde.networks import ncsn, ncsnv2_64
from score_sde.networks.refine.layers import dilated, resize
from score_sde.networks.refine.normalization import InstanceNormPlus
from tests.networks.quick import draw, quick_jit

KEY = jax.random.key(0)


@pytest.mark.parametrize(("size", "d"), [((8, 8), 2), ((7, 9), 4), ((4, 4), 4), ((5, 3), 2)])
def test_dilated_convolution(size, d):
    """Value and both gradients are those of XLA's own, also where d does not divide the size."""
    x, w = jax.random.normal(KEY, (2, *size, 3)), jax.random.normal(jax.random.key(1), (3, 3, 3, 4))

    def direct(x, w):
        return lax.conv_general_dilated(
            x, w, (1, 1), [(d, d), (d, d)], rhs_dilation=(d, d), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    ours, pull = jax.vjp(lambda x, w: dilated(x, w, d), x, w)
    theirs, pull_theirs = jax.vjp(direct, x, w)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for mine, wanted in zip(pull(theirs), pull_theirs(theirs), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-3)


def test_resize_keeps_the_corners():
    """Linear interpolation between the corner pixels; a linear ramp stays one. Of one pixel: the same everywhere."""
    ramp = jnp.arange(4.0)[None, :, None, None] + 10 * jnp.arange(3.0)[None, None, :, None]
    larger = resize(ramp, (10, 7), "align_corners")[0, ..., 0]
    wanted = np.linspace(0, 3, 10)[:, None] + 10 * np.linspace(0, 2, 7)[None]
    np.testing.assert_allclose(larger, wanted, atol=1e-5)
    np.testing.assert_allclose(resize(jnp.full((1, 1, 1, 1), 2.0), (3, 4), "align_corners"), 2.0, atol=1e-6)
    half = resize(ramp, (8, 6), "half_pixel")[0, :, 0, 0]
    np.testing.assert_allclose(half, np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3), atol=1e-5)


@pytest.mark.parametrize("variance", ["unbiased", "population"])
def test_instance_norm_plus(variance):
    """The formula in numpy, with parameters for each class."""
    norm = draw(lambda: InstanceNormPlus(5, classes=3, variance=variance, rngs=nnx.Rngs(0)))
    x, labels = np.asarray(jax.random.normal(KEY, (2, 4, 6, 5))) * 2 + 1, np.array([2, 0])
    mean, v = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    spread = mean.var(-1, keepdims=True, ddof=int(variance == "unbiased"))
    means = (mean - mean.mean(-1, keepdims=True)) / np.sqrt(spread + 1e-5)
    scale, mean_scale, bias = (np.asarray(norm.embedding[...])[labels, i][:, None, None] for i in range(3))
    wanted = scale * ((x - mean) / np.sqrt(v + 1e-5) + mean_scale * means) + bias
    np.testing.assert_allclose(norm(jnp.asarray(x), jnp.asarray(labels)), wanted, rtol=2e-5, atol=2e-5)


SIGMAS = np.geomspace(5.0, 0.01, 6)


def tiny(make=ncsnv2_64, **options):
    network = draw(lambda: make(8, 2, rngs=nnx.Rngs(0), **{"nf": 4, "sigmas": SIGMAS, **options}))
    if network.sigmas is not None:
        network.sigmas.set_value(jnp.asarray(SIGMAS, jnp.float32))
    return network


@quick_jit
def apply(network, x, level):
    return network(x, level)


def test_division_by_sigma():
    """By the entry of the table at the label, or by the noise level itself without a table."""
    x, labels = jax.random.normal(KEY, (2, 8, 8, 2)), jnp.array([0.0, 5.0])
    whole = apply(tiny(scale_by_sigma=False), x, labels)
    np.testing.assert_allclose(apply(tiny(), x, labels) * SIGMAS[[0, 5], None, None, None], whole, rtol=1e-5, atol=1e-6)
    levels = jnp.array([0.5, 3.0])
    by_level = apply(tiny(sigmas=None), x, levels)
    np.testing.assert_allclose(by_level * levels[:, None, None, None], whole, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_near_float32():
    x, labels = jax.random.normal(KEY, (2, 8, 8, 2)), jnp.array([1.0, 4.0])
    exact, rough = apply(tiny(), x, labels), apply(tiny(dtype="bfloat16"), x, labels)
    assert rough.dtype == jnp.float32
    assert 1e-4 < float(jnp.std(rough - exact) / jnp.std(exact)) < 0.1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tiny(normalization="batchnorm"), "normalization = 'batchnorm'"),
        (lambda: tiny(ncsn, normalization="variancenorm"), "no parameters by label"),
        (lambda: tiny(nf=0), "nf = 0"),
        (lambda: ncsnv2_64(9, 2, nf=4, rngs=nnx.Rngs(0)), "cannot be halved"),
        (lambda: tiny()(jnp.zeros((1, 8, 8, 3)), jnp.zeros(1)), "x has shape"),
        (lambda: tiny()(jnp.zeros((1, 8, 8, 2)), jnp.zeros(1), {"label": jnp.zeros(1, int)}), "without classes"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_refusals(make, words):
    with pytest.raises(ValueError, match=words):
        make()
