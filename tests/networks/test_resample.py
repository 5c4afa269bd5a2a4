"""Resampling against the definitions: zero insertion, true convolution, decimation, in plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from score_sde.networks.resample import Downsample, Upsample, down, up

FILTERS = {
    "binomial": (1, 3, 3, 1),
    "lopsided": (1.0, 2.0, 5.0, 0.5),
    "three taps": (1, 2, 1),
    "six": (1, 4, 7, 5, 2, 1),
}


def upfirdn(x, taps, factor_up, factor_down, pad):
    """One axis: insert zeros, pad, convolve with the taps (turned round), keep every n-th."""
    spread = np.zeros(len(x) * factor_up)
    spread[::factor_up] = x
    padded = np.concatenate([np.zeros(pad[0]), spread, np.zeros(pad[1])])
    return np.convolve(padded, taps, mode="valid")[::factor_down]


def along_both_axes(function, image):
    return np.apply_along_axis(function, 1, np.apply_along_axis(function, 0, image))


@pytest.mark.parametrize("fir", FILTERS.values(), ids=FILTERS.keys())
def test_up_and_down(fir):
    x = np.random.default_rng(0).normal(size=(2, 6, 8, 3)).astype(np.float32)
    taps, excess = np.array(fir) / sum(fir), len(fir) - 2
    halves, doubles = (np.asarray(change(jnp.asarray(x), fir)) for change in (down, up))
    narrow, wide = ((excess + 1) // 2, excess // 2), ((excess + 1) // 2 + 1, excess // 2)
    for n in range(2):
        for c in range(3):
            want = along_both_axes(lambda v: upfirdn(v, taps, 1, 2, narrow), x[n, :, :, c])
            np.testing.assert_allclose(halves[n, :, :, c], want, atol=1e-6)
            want = along_both_axes(lambda v: upfirdn(v, 2 * taps, 2, 1, wide), x[n, :, :, c])
            np.testing.assert_allclose(doubles[n, :, :, c], want, atol=1e-6)


def test_without_a_filter():
    x = jnp.arange(8.0).reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(down(x)[0, :, :, 0], [[2.5, 4.5]])
    np.testing.assert_array_equal(up(x)[0, :2, :4, 0], [[0, 0, 1, 1], [0, 0, 1, 1]])


def test_filtered_convolutions_are_the_definitions():
    """Upsample: a transposed convolution, then the filter. Downsample: the filter, then a strided convolution."""
    fir, x = (1, 3, 3, 1), jax.random.normal(jax.random.key(0), (2, 6, 8, 3))
    blur_kernel = jnp.asarray(np.outer(fir, fir) / 64, jnp.float32)
    blur_each = jnp.tile(blur_kernel[:, :, None, None], (1, 1, 1, 1))

    def blur(x, padding, gain=1.0):
        one = lambda c: lax.conv_general_dilated(  # noqa: E731
            c[..., None], gain * blur_each, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )[..., 0]
        return jnp.stack([one(x[..., i]) for i in range(x.shape[-1])], -1)

    layer = Upsample(3, 4, fir=fir, rngs=nnx.Rngs(0))
    full = lax.conv_general_dilated(
        x,
        layer.conv.kernel[...],
        (1, 1),
        ((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # zeros inserted, as far out as the kernel reaches
    np.testing.assert_allclose(layer(x), blur(full, ((1, 1), (1, 1)), gain=4.0), atol=2e-6)

    layer = Downsample(3, 4, fir=fir, rngs=nnx.Rngs(0))
    want = lax.conv_general_dilated(
        blur(x, ((2, 2), (2, 2))), layer.conv.kernel[...], (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(layer(x), want, atol=2e-6)


@pytest.mark.parametrize("layer", [Downsample, Upsample])
@pytest.mark.parametrize("fir", [None, (1, 3, 3, 1)])
@pytest.mark.parametrize("spatial", [(8,), (4, 6, 8)])
def test_signals_and_volumes(layer, fir, spatial):
    """Constant along all axes but one, a volume is a signal."""
    out = layer(2, 3, fir=fir, spatial_dims=len(spatial), rngs=nnx.Rngs(0))(jnp.ones((1, *spatial, 2)))
    factor = {Downsample: 0.5, Upsample: 2}[layer]
    assert out.shape == (1, *(int(n * factor) for n in spatial), 3)
    assert (Downsample(2, 2, fir=fir, with_conv=False, rngs=nnx.Rngs(0))(jnp.ones((1, 8, 2)))[0, 1:-1] == 1).all()
