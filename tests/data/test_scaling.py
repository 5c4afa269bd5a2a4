"""One object maps levels to model space and back, and its Jacobian is that of bits/dim."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from score_sde.data import DataScaling


def keys(n: int) -> jax.Array:
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(3), i))(jnp.arange(n))


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("dequantize", [True, False])
@pytest.mark.parametrize("levels", [2, 17, 200, 256])
def test_every_level_comes_back(levels, centered, dequantize):
    scaling = DataScaling(levels, centered, dequantize)
    level = np.tile(np.arange(levels, dtype=np.uint8), (max(2, 2**17 // levels), 1))
    x = scaling.forward(level, keys(len(level)))
    np.testing.assert_array_equal(scaling.to_images(x), level)
    low, high = scaling.range
    assert x.dtype == jnp.float32
    assert float(x.min()) >= low
    assert float(x.max()) <= high


def test_without_dequantisation_it_is_the_original():
    level = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_allclose(DataScaling(centered=False).forward(level), level / 255.0, rtol=2e-7)
    np.testing.assert_allclose(DataScaling(centered=True).forward(level), 2.0 * level / 255 - 1, atol=1e-7)


def test_noise_is_uniform_in_the_cell_and_belongs_to_the_example():
    scaling = DataScaling(17, dequantize=True)
    level = np.full((4, 25_000), 5, np.uint8)
    u = np.asarray(scaling.inverse(scaling.forward(level, keys(4)))) - 5
    grid = np.linspace(0, 1, 101)
    cumulative = np.searchsorted(np.sort(u.ravel()), grid) / u.size
    assert np.abs(cumulative - grid).max() < 1.95 / math.sqrt(u.size)  # Kolmogorov-Smirnov, p about 0.001
    np.testing.assert_array_equal(scaling.forward(level[2:3], keys(4)[2:3])[0], scaling.forward(level, keys(4))[2])


@pytest.mark.parametrize("scaling", [DataScaling(), DataScaling(17, centered=False), DataScaling(100)])
def test_volume_is_the_jacobian(scaling):
    slope = jax.grad(lambda u: scaling.place(jnp.zeros(()), u))(0.3)
    assert math.isclose(math.log(slope), scaling.log_volume_per_dim, rel_tol=1e-6)
    assert math.isclose(
        math.log(1 / jax.grad(lambda x: scaling.inverse(x))(0.3)), scaling.log_volume_per_dim, rel_tol=1e-6
    )


def test_offset_of_the_original():
    assert DataScaling().log_volume_per_dim / math.log(2) == -7
    assert DataScaling(centered=False).log_volume_per_dim / math.log(2) == -8


def test_bits_per_dim_of_a_known_distribution():
    """A density constant on each cell makes the bound tight: its bits/dim are the entropy of the levels."""
    scaling = DataScaling(4, dequantize=True)
    p = np.array([0.5, 0.25, 0.125, 0.125])
    level = np.repeat(np.arange(4, dtype=np.uint8), [4, 2, 1, 1])[:, None]
    x = scaling.forward(level, keys(8))
    log_p = np.log(p / scaling.cell)[np.asarray(scaling.to_images(x))[:, 0]]
    assert math.isclose(-np.mean(log_p + scaling.log_volume_per_dim) / math.log(2), 1.75)


def test_continuous_data_are_standardised():
    scaling = DataScaling(None, mean=(1.0, -2.0), std=(2.0, 0.5))
    y = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    x = scaling.forward(y)
    np.testing.assert_allclose(x, (y - [1, -2]) / [2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(scaling.to_images(x), y, rtol=1e-5, atol=1e-6)
    jacobian = jax.jacobian(lambda y: scaling.forward(y[None])[0])(y[0])
    assert math.isclose(np.linalg.slogdet(jacobian)[1], 2 * scaling.log_volume_per_dim, abs_tol=1e-6)
    np.testing.assert_array_equal(DataScaling(None).forward(y), y)


@settings(deadline=None)  # the first call compiles
@given(st.floats(allow_nan=True, width=32))
def test_images_of_anything(x):
    level = int(DataScaling().to_images(np.full((1, 1), x, np.float32))[0, 0])
    cell = 128.0 * float(np.float32(x) + np.float32(1))
    expected = 0 if math.isnan(x) else math.floor(min(max(cell, 0), 255))
    assert level == expected


def test_is_a_static_value_under_jit():
    scaling = DataScaling(17, dequantize=True)
    level = np.ones((3, 2), np.uint8)
    jitted = jax.jit(lambda scaling, level, keys: scaling.forward(level, keys))(scaling, level, keys(3))
    np.testing.assert_allclose(jitted, scaling.forward(level, keys(3)), atol=1e-7)
    assert dataclasses.replace(scaling) == scaling


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 1}, "levels = 1; allowed: 2 to 256"),
        ({"levels": None, "dequantize": True}, "set dequantize = False"),
        ({"levels": 256, "std": 2.0}, "for continuous data"),
        ({"levels": None, "std": 0.0}, "std = 0.0; it must be positive"),
        ({"levels": None, "mean": math.nan}, "mean = nan"),
    ],
)
def test_bad_scaling(options, message):
    with pytest.raises(ValueError, match=message):
        DataScaling(**options)


def test_dequantisation_needs_keys():
    with pytest.raises(ValueError, match="needs keys, one for each example"):
        DataScaling(dequantize=True).forward(np.zeros((2, 3), np.uint8))


def test_bytes_are_no_continuous_data():
    with pytest.raises(ValueError, match=r"bytes.*DataScaling\(levels=256\)"):
        DataScaling(levels=None).forward(np.zeros((1, 2), np.uint8))
