"""Networks for points and vectors, and the table that describes any network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from score_sde.networks import MLP, NCSNpp, ResNet, describe
from tests.networks.quick import quick_jit


@pytest.mark.parametrize("network", [MLP, ResNet])
@pytest.mark.parametrize("embedding_type", ["positional", "fourier", "fourier_raw"])
def test_vectors(network, embedding_type):
    net = network((3, 2), width=16, num_classes=2, dropout=0.3, embedding_type=embedding_type, rngs=nnx.Rngs(0))
    x, levels = jax.random.normal(jax.random.key(0), (4, 3, 2)), jnp.arange(1.0, 5.0)
    out = net(x, levels, {"label": jnp.array([0, 1, 2, 0])})
    assert out.shape == x.shape
    np.testing.assert_allclose(net(x, levels)[2], out[2], rtol=1e-5, atol=1e-6)  # label 2: no class
    keys = jax.random.split(jax.random.key(0), 4)
    dropped = net(x, levels, dropout_keys=keys)
    np.testing.assert_allclose(net(x[1:2], levels[1:2], dropout_keys=keys[1:2]), dropped[1:2], rtol=1e-4, atol=1e-5)
    if network is MLP:  # the residual layers begin silent
        assert float(jnp.max(jnp.abs(dropped - net(x, levels)))) > 1e-2


@pytest.mark.parametrize("network", [MLP, ResNet])
def test_gradients_in_double_precision(network, x64):
    net = jax.tree.map(
        lambda p: p.astype(jnp.float64), network(2, width=8, depth=2, dtype=jnp.float64, rngs=nnx.Rngs(0))
    )
    x, level = jax.random.normal(jax.random.key(0), (3, 2), jnp.float64), jnp.array([1.0, 2.0, 3.0])
    of = lambda n: jnp.sum(jnp.sin(n(x, level)))  # noqa: E731
    loss = quick_jit(of)
    direction = jax.tree.map(lambda p: jnp.asarray(np.random.default_rng(p.size).normal(size=p.shape)), net)
    ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * 1e-5 * d, net, direction) for s in (1, -1))
    exact = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (jax.grad(of)(net), direction)), strict=True))
    np.testing.assert_allclose(exact, (loss(ahead) - loss(behind)) / 2e-5, rtol=1e-7)


def test_vectors_learn():
    """The noise of a two-point distribution, whose best prediction is known: the loss comes within 10 % of it."""
    net = MLP(1, width=32, depth=2, embedding_type="fourier", rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(0), 3)
    x0, noise = jnp.sign(jax.random.normal(keys[0], (512, 1))), jax.random.normal(keys[1], (512, 1))
    sigma = jnp.exp(jax.random.uniform(keys[2], (512,), minval=-2.0, maxval=1.0))
    x = x0 + sigma[:, None] * noise
    best = jnp.mean((noise - (x - jnp.tanh(x / sigma[:, None] ** 2)) / sigma[:, None]) ** 2)

    @quick_jit
    def train(net):
        loss = lambda n: jnp.mean((n(x / jnp.sqrt(1 + sigma[:, None] ** 2), sigma) - noise) ** 2)  # noqa: E731

        def step(carry, i):
            net, first, second = carry
            g = jax.grad(loss)(net)
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, g)
            second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g**2, second, g)
            net = jax.tree.map(lambda p, m, v: p - 3e-3 * m / (jnp.sqrt(v) + 1e-8), net, first, second)
            return (net, first, second), loss(net)

        zeros = jax.tree.map(jnp.zeros_like, net)
        return jax.lax.scan(step, (net, zeros, zeros), jnp.arange(1500))[1]

    assert float(train(net)[-1]) < 1.1 * float(best)


def test_bad_vectors():
    net = MLP(2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"x has shape \(4, 3\); this network takes \(batch, 2\)"):
        net(jnp.ones((4, 3)), jnp.ones(4))
    with pytest.raises(ValueError, match="nonlinearity = 'gelu'"):
        MLP(2, nonlinearity="gelu", rngs=nnx.Rngs(0))


def test_describe():
    """The CIFAR-10 NCSN++: its published size, and the operations of its convolutions counted by hand."""
    network = nnx.eval_shape(lambda: NCSNpp(32, 3, rngs=nnx.Rngs(0)))
    table = describe(network, (32, 32, 3))
    rows = {line.split()[0]: line.split() for line in table.splitlines()}
    assert rows["total"][1] == "62,758,787"
    assert table.endswith("and 128 frozen parameters")
    assert rows["down.0"][1:3] == ["32x32", "128"]
    assert rows["up.1"][1:3] == ["8x8", "256"]
    assert float(rows["conv_in"][4].replace(",", "")) == pytest.approx(2 * 32 * 32 * 27 * 128 / 1e6, abs=0.1)
    assert 20_000 < float(rows["total"][2].replace(",", "")) < 22_000
    assert "(no part)" not in rows
    vectors = describe(MLP(2, width=8, depth=1, rngs=nnx.Rngs(0)), (2,))
    assert vectors.splitlines()[-1].split()[1] == f"{(8 * 8 + 8) * 4 + (2 * 8 + 8) + (8 * 2 + 2)}"
