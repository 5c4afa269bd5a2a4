"""Bits per dimension follow from the scaling, for any number of levels."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.data import DataScaling


@pytest.mark.parametrize("scaling", [DataScaling(levels=2), DataScaling(levels=17), DataScaling(centered=False)])
def test_a_uniform_model_takes_log2_levels(scaling):
    """The density 1/(high − low)^D gives every image the same probability, L^−D."""
    low, high = scaling.range
    log_prob = -12 * math.log(high - low)
    bits = ss.bits_per_dim(jnp.array([log_prob]), (2, 2, 3), scaling)
    np.testing.assert_allclose(bits, math.log2(scaling.levels), rtol=1e-6)


def test_the_originals_offsets():
    """Bpd = −log p/(D log 2) + 7 for data in [−1, 1], + 8 for data in [0, 1]."""
    for centered, offset in ((True, 7), (False, 8)):
        bits = ss.bits_per_dim(jnp.array([-3.0]), (4,), DataScaling(levels=256, centered=centered))
        np.testing.assert_allclose(bits, 3 / (4 * math.log(2)) + offset, rtol=1e-6)


def test_nats_of_standardised_data_are_those_of_the_data():
    """For y = std x + mean: log N(y; m, v) by hand."""
    scaling = DataScaling(levels=None, mean=(1.0, -2.0), std=(3.0, 0.5))
    truth = ss.analytic.GaussianMixture([[0.2, -0.1]], [0.7])
    y = np.array([[2.0, -2.2], [0.0, -1.5]], np.float32)
    nats = ss.likelihood.nats_per_dim(truth.log_prob(scaling.forward(y)), (2,), scaling)
    mean, std = np.array([1.6, -2.05]), np.array([2.1, 0.35])
    expected = -(-0.5 * ((y - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))).mean(axis=1)
    np.testing.assert_allclose(nats, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"levels is None.*nats_per_dim"):
        ss.bits_per_dim(jnp.zeros(1), (2,), scaling)


def test_images_by_quadrature():
    """A flow over one pixel with 4 levels: E_u[bits] is the integral of −log2(p c) over the cell, and bounds −log2 P."""
    scaling, sde = DataScaling(levels=4), ss.VP()
    truth = ss.analytic.GaussianMixture([[-0.5], [0.4]], [0.25, 0.2])
    images = np.repeat(np.arange(4, dtype=np.uint8), 400)[:, None]
    bits, ll = ss.likelihood.of_data(
        truth.denoiser(sde), images, jax.random.key(0), scaling, divergence="exact", rtol=1e-3, atol=1e-3
    )
    assert (ll.failed_at == -1).all()
    u = (np.arange(4000) + 0.5) / 4000
    for d in range(4):
        cell = -1 + 0.5 * (d + u)
        log_p = np.asarray(truth.log_prob(jnp.asarray(cell, jnp.float32)[:, None]))
        bound, exact = -np.mean(log_p + np.log(0.5)) / np.log(2), -np.log2(0.5 * np.mean(np.exp(log_p)))
        ours = np.asarray(bits[images[:, 0] == d])
        assert abs(ours.mean() - bound) <= 4 * ours.std() / 20 + 2e-3
        assert bound >= exact
