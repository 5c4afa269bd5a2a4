"""Networks around a network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde.networks import ADM, Concatenation, ControlNet, Identity, ImageTokens, LoRA, NCSNpp, adapted
from score_sde.networks.adapters import merged
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


BASE = SMALL | {"num_classes": 3, "text_vocabulary": 9, "text_length": 4, "text_width": 6, "second_level": True}


@functools.cache
def base():
    return draw(lambda: NCSNpp(8, 1, **BASE, rngs=nnx.Rngs(0)))


@functools.cache
def adapters():
    """Each as it begins."""
    return {
        "control": ControlNet(base(), control_channels=2, rngs=nnx.Rngs(1)),
        "image": ImageTokens(base(), features=5, rngs=nnx.Rngs(2)),
        "resampled": ImageTokens(base(), features=5, tokens=3, depth=2, heads=2, rngs=nnx.Rngs(6)),
        "identity": Identity(base(), features=5, tokens=3, depth=1, heads=3, keypoint_channels=2, rngs=nnx.Rngs(7)),
        "lora": LoRA(base(), rank=2, rngs=nnx.Rngs(3)),
        "lora of convolutions": LoRA(base(), rank=2, match=r"conv_0\.kernel$", rngs=nnx.Rngs(4)),
    }


def awake(name, seed=5):
    """With noise on every parameter, as after training."""
    graph, params, rest = nnx.split(adapters()[name], nnx.Param, ...)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noisy = [p + 0.2 * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys, strict=True)]
    return nnx.merge(graph, jax.tree.unflatten(tree, noisy), rest)


TOLD = {
    "label": jnp.array([0, 2]),
    "text": jnp.array([[1, 3, 0, 0], [1, 4, 5, 0]]),
    "control": images(2, 8, 8, 2, seed=7),
    "image": images(2, 5, seed=8),
    "identity": images(2, 5, seed=9),
    "keypoints": images(2, 8, 8, 2, seed=10),
}
X = images(2, 8, 8, 1)
LEVELS = jnp.array([[0.3, 0.1], [0.5, 0.2]])


@quick_jit
def called(network, condition):
    return network(X, LEVELS, condition)


@pytest.mark.parametrize("name", ["control", "image", "resampled", "identity", "lora", "lora of convolutions"])
def test_an_adapter_begins_as_its_base(name):
    """To the last bit; trained, it changes the output."""
    plain = called(base(), TOLD)
    np.testing.assert_array_equal(called(adapted(base(), adapters()[name]), TOLD), plain)
    assert float(jnp.max(jnp.abs(called(adapted(base(), awake(name)), TOLD) - plain))) > 1e-3


@pytest.mark.parametrize("name", ["control", "image"])
def test_a_scale_of_zero_is_the_base(name):
    """For each example by itself."""
    network = adapted(base(), awake(name))
    scaled = called(network, TOLD | {f"{name}_scale": jnp.array([0.0, 1.0])})
    np.testing.assert_array_equal(scaled[0], called(base(), TOLD)[0])
    np.testing.assert_array_equal(scaled[1], called(network, TOLD)[1])


@pytest.mark.parametrize("name", ["control", "image", "identity"])
def test_a_sample_does_not_depend_on_its_neighbours_condition(name):
    network = adapted(base(), awake(name))
    other = TOLD | {name: TOLD[name].at[1].add(1.0)}
    found, changed = called(network, TOLD), called(network, other)
    np.testing.assert_array_equal(found[0], changed[0])
    assert float(jnp.max(jnp.abs(found[1] - changed[1]))) > 1e-3


def test_every_parameter_of_an_adapter_learns():
    """After a first step, in which the zeros at the end move alone."""
    for name in ("control", "image", "identity", "lora"):
        network = adapted(base(), awake(name))

        @quick_jit
        def gradient(network):
            loss = lambda adapters: jnp.sum(jnp.sin(adapted(base(), *adapters)(X, LEVELS, TOLD)))  # noqa: E731
            return jax.grad(loss)(network.adapters)

        for path, leaf in nnx.to_flat_state(nnx.state(gradient(network)[0], nnx.Param)):
            silent = path[-2:] == ("key", "bias") or ("keys" in path and path[-1] == "bias")
            assert silent or float(jnp.max(jnp.abs(leaf[...]))) > 1e-8, (name, path)


def test_a_resampler_takes_any_number_of_vectors_in_any_order():
    network = adapted(base(), awake("resampled"))
    several = images(2, 6, 5, seed=11)
    found = called(network, TOLD | {"image": several})
    np.testing.assert_allclose(called(network, TOLD | {"image": several[:, ::-1]}), found, atol=1e-5)
    one = called(network, TOLD)
    np.testing.assert_allclose(called(network, TOLD | {"image": TOLD["image"][:, None]}), one, atol=1e-6)
    assert float(jnp.max(jnp.abs(found - one))) > 1e-4


def test_the_control_net_of_an_identity_sees_its_tokens():
    """Where the base sees none of them, another identity still changes what the keypoints add."""
    network = adapted(base(), awake("identity"))
    silent = TOLD | {"identity_scale": jnp.zeros(2)}
    found, other = called(network, silent), called(network, silent | {"identity": 2 * TOLD["identity"]})
    assert float(jnp.max(jnp.abs(found - other))) > 1e-4
    nothing = silent | {"keypoints_scale": jnp.zeros(2)}
    np.testing.assert_array_equal(called(network, nothing), called(base(), TOLD))


def test_adapters_stack():
    """Their order does not matter where they act in different places."""
    one = adapted(base(), awake("lora"), awake("control"), awake("image"))
    other = adapted(adapted(base(), awake("image")), awake("control"), awake("lora"))
    np.testing.assert_allclose(called(one, TOLD), called(other, TOLD), rtol=1e-5, atol=1e-6)


def test_lora_is_its_product():
    """Merged or not; each kernel changes by (α/r) A B, and the base not at all."""
    lora = awake("lora of convolutions")
    lora.alpha = 6.0
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(base()))]
    whole = merged(base(), lora)
    np.testing.assert_allclose(called(whole, TOLD), called(adapted(base(), lora), TOLD), rtol=1e-5, atol=1e-5)
    for old, leaf in zip(before, jax.tree.leaves(nnx.state(base())), strict=True):
        np.testing.assert_array_equal(old, leaf)
    kernel, plain = (each.down[0].blocks[0].conv_0.kernel[...] for each in (whole, base()))
    place = lora.names.index("down.0.blocks.0.conv_0.kernel")
    change = 3 * np.einsum("hwir,ro->hwio", lora.down[place][...], lora.up[place][...])
    np.testing.assert_allclose(kernel - plain, change, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_adapters_refuse():
    other = draw(lambda: NCSNpp(8, 1, **SMALL | {"nf": 16}, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"this LoRA is for another network: .* kernels are missing"):
        adapters()["lora"].weights(other)
    with pytest.raises(
        ValueError, match=r"another network: .*conv_0.kernel is \(3, 3, 16, 16\), its change \(3, 3, 8, 8\)"
    ):
        adapters()["lora of convolutions"].weights(other)
    with pytest.raises(ValueError, match=r"condition\['control'\] has shape \(2, 4, 4, 2\) beside x"):
        called(adapted(base(), adapters()["control"]), TOLD | {"control": images(2, 4, 4, 2)})
    with pytest.raises(ValueError, match=r"told condition\['image'\], a vector of 5 numbers; it is absent"):
        called(adapted(base(), adapters()["image"]), {name: TOLD[name] for name in ("label", "text")})
    with pytest.raises(ValueError, match="which the base lacks: it is told no text"):
        ImageTokens(other, features=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="match = 'nothing' fits no kernel of the base; there are"):
        LoRA(other, match="nothing", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="the base is a int; adapters are for the U-Nets"):
        adapted(3)
    with pytest.raises(ValueError, match="rank = 0; allowed: 1 or more"):
        LoRA(other, rank=0, rngs=nnx.Rngs(0))
