"""The optimisers that a config can name: what one update of theirs is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_sde.training.optimizer import adamw, muon, optimizer, schedule_free

PARAMETERS = {"conv.kernel": jnp.ones((3, 3, 4, 8)), "conv.bias": jnp.zeros(8), "dense.kernel": jnp.ones((6, 5))}

NESTEROV = 0.9 * 0.1 / (1 - 0.9**2) + 1
"""The first update of Adam with Nesterov's momentum, which optax takes for the rest, over that of Adam."""


def gradients(seed):
    keys = jax.random.split(jax.random.key(seed), len(PARAMETERS))
    return {name: jax.random.normal(key, PARAMETERS[name].shape) for key, name in zip(keys, PARAMETERS, strict=True)}


def first_update(rule, lr=0.1, **options):
    transform, _ = optimizer(rule, lr=lr, warmup=0, clip=None, **options)
    return transform.update(gradients(0), transform.init(PARAMETERS), PARAMETERS)[0]


def test_muon_makes_the_updates_of_kernels_orthogonal():
    """All singular values of the matrix from inputs to outputs are nearly equal; its RMS is 0.2 of the rate."""
    update = first_update(muon)
    for name in ("conv.kernel", "dense.kernel"):
        matrix = np.asarray(update[name]).reshape(-1, update[name].shape[-1])
        singular = np.linalg.svd(matrix, compute_uv=False)
        assert singular.max() / singular.min() < 2  # Newton-Schulz leaves them between 0.7 and 1.2
        assert np.sqrt(np.mean(matrix**2)) == pytest.approx(0.02, rel=0.2)
    np.testing.assert_allclose(update["conv.bias"], -0.1 * NESTEROV * np.sign(gradients(0)["conv.bias"]), rtol=1e-4)


def test_muon_has_a_rate_of_its_own_for_what_is_no_matrix():
    bias = first_update(lambda rate: muon(rate, adam=0.5))["conv.bias"]
    np.testing.assert_allclose(bias, -0.05 * NESTEROV * np.sign(gradients(0)["conv.bias"]), rtol=1e-4)


def test_schedule_free_averages_its_iterates():
    """z is an Adam without momentum; x is the mean of the iterates z; the parameters are y = (1 − b1) z + b1 x."""
    transform, _ = optimizer(schedule_free, lr=0.1, warmup=0, clip=None)
    y, state = PARAMETERS, transform.init(PARAMETERS)
    z = x = np.asarray(PARAMETERS["conv.bias"])
    second = np.zeros(8)
    for k in range(4):
        gradient = gradients(k)
        update, state = transform.update(gradient, state, y)
        y = {name: value + update[name] for name, value in y.items()}
        g = np.asarray(gradient["conv.bias"], np.float64)
        second = 0.999 * second + 0.001 * g**2
        z = z - 0.1 * g / (np.sqrt(second / (1 - 0.999 ** (k + 1))) + 1e-8)
        x = x + (z - x) / (k + 1)
        np.testing.assert_allclose(y["conv.bias"], 0.1 * z + 0.9 * x, rtol=1e-4, atol=1e-6)


def test_adamw_decays_the_weights_apart_from_the_gradient():
    plain, decayed = (first_update(lambda rate, d=d: adamw(rate, weight_decay=d)) for d in (0.0, 0.1))
    for name, value in PARAMETERS.items():
        np.testing.assert_allclose(decayed[name] - plain[name], -0.1 * 0.1 * value, atol=1e-7)
