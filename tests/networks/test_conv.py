"""The convolution and its own gradients, against XLA's, wherever a loop or a second derivative may put them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from score_sde.networks.cpu.convolution import Geometry, _direct, conv
from tests.networks.quick import quick_jit

# spatial shape, kernel size, stride, padding
CASES = {
    "same": ((6, 5), 3, 1, ((1, 1), (1, 1))),
    "stride": ((6, 8), 3, 2, ((0, 1), (0, 1))),
    "stride leaves a rest": ((8, 6), 3, 2, ((0, 0), (0, 0))),
    "valid": ((7, 7), 3, 2, ((0, 0), (0, 0))),
    "signal": ((9,), 3, 1, ((1, 1),)),
    "volume": ((4, 3, 5), 3, 1, ((1, 1),) * 3),
}


def plain(x, kernel, stride, padding):
    """XLA's own."""
    return _direct(x, kernel, Geometry(stride, padding, x.shape[1:-1], kernel.shape[:-2]))


def draw(spatial, size, dtype=jnp.float64):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, *spatial, 3), dtype)
    return x, jax.random.normal(keys[1], (*(size,) * len(spatial), 3, 4), dtype), keys[2]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_gradients_are_xlas(case, x64):
    spatial, size, stride, padding = case
    x, kernel, key = draw(spatial, size)
    y, pull = jax.vjp(lambda x, k: conv(x, k, stride, padding), x, kernel)
    want, want_pull = jax.vjp(lambda x, k: plain(x, k, stride, padding), x, kernel)
    np.testing.assert_allclose(y, want, rtol=1e-12)
    dy = jax.random.normal(key, y.shape, jnp.float64)
    for ours, theirs in zip(pull(dy), want_pull(dy), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_second_derivative_vmap_and_loop(x64):
    """A gradient penalty through the convolution, one per example under vmap, inside a scan."""
    x, kernel, _ = draw((6, 6), 3)

    def penalty(convolution):
        def of_one(x, kernel):
            dx = jax.grad(lambda x: jnp.sum(jnp.tanh(convolution(x[None], kernel)) ** 3))(x)
            return jnp.sum(dx**2)

        def run(kernel):
            step = lambda total, _: (total + jax.vmap(of_one, (0, None))(x, kernel), None)  # noqa: E731
            return jnp.sum(lax.scan(step, jnp.zeros(2), None, length=2)[0])

        return quick_jit(jax.grad(run))(kernel)

    padding = ((0, 1), (0, 1))
    ours = penalty(lambda x, k: conv(x, k, 2, padding))
    np.testing.assert_allclose(ours, penalty(lambda x, k: plain(x, k, 2, padding)), rtol=1e-10, atol=1e-10)


def test_no_transposed_convolution_is_left_for_a_loop():
    """In a loop XLA's CPU backend is slow in any layout but the canonical one: every convolution must be in it."""

    def run(x, kernel):
        def step(carry, _):
            dx, dk = jax.grad(lambda x, k: jnp.sum(conv(x, k, 1, ((1, 1), (1, 1))) ** 2), (0, 1))(*carry)
            return (x + dx, kernel + dk), None

        return lax.scan(step, (x, kernel), None, length=3)[0]

    x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
    if jax.default_backend() != "cpu":
        pytest.skip("a matter of the CPU backend")
    program = jax.jit(run).lower(x, kernel).compile().as_text()
    labels = [
        line.split("dim_labels=")[1].split(",")[0].split()[0] for line in program.splitlines() if "dim_labels=" in line
    ]
    assert len(labels) == 3
    assert set(labels) == {"b01f_01io->b01f"}
