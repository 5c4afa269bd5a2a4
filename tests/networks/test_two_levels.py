"""Networks that are told two noise levels begin as those that are told one, and learn to use the second."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from tests.networks.test_forward_mode import UNET

NETWORKS = {
    "ncsnpp": lambda **k: ss.networks.NCSNpp(8, 1, nf=8, embedding_type="fourier", init_scale=1.0, **UNET, **k),
    "ddpm": lambda **k: ss.networks.DDPM(8, 1, nf=32, **UNET, **k),
    "mlp": lambda **k: ss.networks.MLP((8, 8, 1), width=16, depth=2, **k),
    "resnet": lambda **k: ss.networks.ResNet((8, 8, 1), width=16, depth=2, **k),
}
X, T, S = jax.random.normal(jax.random.key(1), (3, 8, 8, 1)), jnp.array([0.2, 0.5, 0.9]), jnp.array([0.1, 0.3, 0.9])
BOTH = jnp.stack([T, S], axis=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_begins_as_if_it_were_told_one(name):
    one, two = (NETWORKS[name](second_level=second, rngs=nnx.Rngs(0)) for second in (False, True))
    mine, theirs = nnx.state(one, nnx.Param), nnx.state(two, nnx.Param)
    for path, leaf in nnx.to_flat_state(mine):
        np.testing.assert_array_equal(leaf[...], dict(nnx.to_flat_state(theirs))[path][...])
    run = nnx.jit(lambda network, level: network(X, level))
    np.testing.assert_allclose(run(two, BOTH), run(one, T), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(run(two, T), run(one, T), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["ncsnpp", "mlp"])
def test_the_second_level_has_a_gradient(name):
    graph, params, rest = nnx.split(NETWORKS[name](second_level=True, rngs=nnx.Rngs(0)), nnx.Param, ...)

    def loss(params):
        return jnp.mean((nnx.merge(graph, params, rest)(X, BOTH) - S[:, None, None, None]) ** 2)

    gradient = jax.jit(jax.grad(loss))(params)
    assert float(jnp.abs(gradient["second_embedding"]["dense_1"]["kernel"][...]).max()) > 0


def test_bad_input():
    one, two = (NETWORKS["mlp"](second_level=second, rngs=nnx.Rngs(0)) for second in (False, True))
    with pytest.raises(ValueError, match=r"shape \(3, 2\), but the network takes one; build it with second_level=True"):
        one(X, BOTH)
    with pytest.raises(ValueError, match=r"shape \(3, 3\).*or two, \(3, 2\)"):
        two(X, jnp.ones((3, 3)))
    with pytest.raises(ValueError, match="second_level or numbers are set, but conditional = False"):
        NETWORKS["ncsnpp"](second_level=True, conditional=False, rngs=nnx.Rngs(0))


def test_numbers_begin_without_effect_and_have_a_gradient():
    network, told = NETWORKS["mlp"](numbers=("guidance",), rngs=nnx.Rngs(0)), {"guidance": jnp.array([1.0, 2.0, 5.0])}
    plain = NETWORKS["mlp"](rngs=nnx.Rngs(0))
    np.testing.assert_allclose(network(X, T, told), plain(X, T), rtol=1e-6)
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    gradient = jax.grad(lambda params: jnp.mean(nnx.merge(graph, params, rest)(X, T, told) ** 2))(params)
    assert float(jnp.abs(gradient["number_embeddings"][0]["dense_1"]["kernel"][...]).max()) > 0


def test_a_number_that_is_missing_is_told():
    network = NETWORKS["mlp"](numbers=("guidance",), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"condition\['guidance'\] is missing; the network is told a number for each"):
        network(X, T)
    with pytest.raises(ValueError, match=r"has shape \(\); the network is told a number for each example, \(3,\)"):
        network(X, T, {"guidance": jnp.asarray(2.0)})
