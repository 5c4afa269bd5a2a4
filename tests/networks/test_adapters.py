"""Networks around a network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde.networks import ADM, Concatenation, NCSNpp
from score_sde.networks.adapters.concatenation import enlarged
from tests.networks.quick import draw, quick_jit

SMALL = {"nf": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (4,)}


def told(leaves, channels=1, **options):
    network = functools.partial(NCSNpp, **SMALL)
    return draw(lambda: Concatenation(8, channels, network=network, leaves=leaves, **options, rngs=nnx.Rngs(0)))


def images(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@quick_jit
def output(network, x, condition):
    return network(x, jnp.full(x.shape[0], 0.3), condition)


def test_concatenation_is_the_network_on_more_channels():
    """In the order of the leaves; other leaves go on to the network, such as its label."""
    network = told({"low": 2, "mask": 1}, num_classes=3)
    x, low, mask, label = images(2, 8, 8, 1), images(2, 4, 4, 2, seed=1), images(2, 8, 8, 1, seed=2), jnp.array([0, 2])
    found = output(network, x, {"mask": mask, "low": low, "label": label})
    wanted = output(network.network, jnp.concatenate([x, enlarged(low, (8, 8)), mask], axis=-1), {"label": label})
    np.testing.assert_array_equal(found, wanted)
    assert found.shape == x.shape
    assert float(jnp.max(jnp.abs(output(network, x, {"mask": mask, "low": 0 * low, "label": label}) - found))) > 1e-3


def test_enlarging_is_linear_between_the_centres():
    ramp = jnp.broadcast_to(jnp.arange(4.0)[None, :, None, None], (1, 4, 4, 1))
    found = enlarged(ramp, (8, 8))[0, :, 0, 0]
    np.testing.assert_allclose(found, np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3), atol=1e-6)


def test_a_config_names_the_network_inside():
    config = {
        "data": {"name": "digits"},
        "batches": {"batch_size": 2},
        "denoiser": {"predicts": "noise"},
        "example": {"shape": (8, 8, 1), "levels": 17},
        "network": {"name": "concatenation", "network": {"name": "ncsnpp", **SMALL}, "leaves": {"low": 1}},
        "conditions": {"low": {"spatial": True, "dropout": 0.0}},
    }
    model = jax.eval_shape(ss.experiment.Experiment.of(config).model, jax.random.key(0))
    assert model.network.network.channels == 2
    with pytest.raises(ValueError, match=r"config.network.network.widht is unknown; did you mean"):
        ss.experiment.Experiment.of(
            {**config, "network": {**config["network"], "network": {"name": "mlp", "widht": 3}}}
        )


@pytest.mark.usefixtures("unchecked")
def test_bad_input():
    network, x = told({"low": 2}), images(2, 8, 8, 1)
    with pytest.raises(ValueError, match=r"told condition\['low'\], an image with 2 channels; it is absent"):
        network(x, jnp.ones(2), None)
    with pytest.raises(
        ValueError, match=r"condition\['low'\] has shape \(2, 3, 3, 2\) beside x of shape \(2, 8, 8, 1\)"
    ):
        network(x, jnp.ones(2), {"low": images(2, 3, 3, 2)})
    with pytest.raises(ValueError, match=r"leaves = {}; give the channels of each leaf"):
        told({})
    with pytest.raises(ValueError, match="takes 1 channels"):
        network(images(2, 8, 8, 2), jnp.ones(2), {"low": images(2, 4, 4, 2)})
    with pytest.raises(ValueError, match="a level of 8 channels; ADM normalises over 32 groups"):
        Concatenation(8, 1, network=functools.partial(ADM, nf=8), leaves={"low": 1}, rngs=nnx.Rngs(0))
