"""Networks with the original's weights give the original's numbers; foreign weights are refused whole."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from score_sde.config import checked
from score_sde.interop import from_score_sde_pytorch, read_config
from score_sde.interop.score_sde.weights import correspondence, load
from score_sde.networks import NCSNpp
from tests.networks.quick import draw, quick_jit

REFERENCE_NETWORKS = [
    "subvp_cifar10_ddpmpp_deep_continuous",
    "ve_church_ncsnpp_continuous",
    "ve_cifar10_ncsnpp",
    "ve_cifar10_ncsnpp_continuous",
    "ve_ffhq_ncsnpp_continuous",
    "vp_cifar10_ddpmpp_continuous",
    "vp_cifar10_ncsnpp_continuous",
    "vp_ddpm_cifar10_continuous",
]


def config_of(entry: dict) -> ConfigDict:
    config = ConfigDict({"model": {}, "data": {}, "training": {}})
    for path, value in entry["config_fields"].items():
        section, name = path.split(".")
        config[section][name] = tuple(value) if isinstance(value, list) else value
    return config


def state_dict_of(arrays: dict) -> dict:
    return {name: value for name, value in arrays.items() if name.startswith("module.")}


def channels_last(a: np.ndarray) -> jax.Array:
    return jnp.asarray(np.moveaxis(a, 1, -1))


def assert_close(ours, theirs: np.ndarray, rms: float, largest: float) -> None:
    """Per batch member, relative to its deviation."""
    theirs = np.moveaxis(theirs, 1, -1).astype(np.float64)
    error = np.asarray(ours, np.float64) - theirs
    axes = tuple(range(1, error.ndim))
    assert (np.sqrt((error**2).mean(axes)) / theirs.std(axes)).max() < rms
    assert (np.abs(error).max(axes) / theirs.std(axes)).max() < largest


@quick_jit
def everything(model, network, x, t, labels, probe):
    """Raw output, score, and the gradients of Σ output · probe with respect to parameters and x."""
    out, pull = jax.vjp(lambda network, x: network(x, labels), network, x)
    return out, model.score(x, t), *pull(probe)


# Two kinds of network at once; the others, and DDPM++, with the slow tests.
FIRST = {
    "ve_cifar10_ncsnpp",
    "vp_ddpm_cifar10_continuous",
}
FILES = [pytest.param(name, marks=[] if name in FIRST else pytest.mark.slow) for name in REFERENCE_NETWORKS]


@pytest.mark.filterwarnings("ignore:fields of the config")
@pytest.mark.parametrize("file", REFERENCE_NETWORKS)
def test_fields_are_the_originals(file, reference):
    """Where the reference data list the fields of an original config, ours describes the same network."""
    entry = reference(f"networks/{file}.npz")[1]
    ours = importlib.import_module(f"configs.{entry['config'].replace('/', '.')}").get_config()
    theirs = read_config(config_of(entry))
    changed = {path.split(".")[1] for path in entry["overrides"]}
    for name, value in checked(theirs.to_dict())["network"].items():
        if name not in changed:
            assert checked(ours.to_dict())["network"][name] == value, name


@pytest.mark.parametrize("file", FILES)
def test_numbers_are_the_originals(file, reference):
    arrays, entry = reference(f"networks/{file}.npz")
    run = from_score_sde_pytorch(state_dict_of(arrays), config_of(entry))
    t, labels = jnp.asarray(arrays["t"]), jnp.asarray(arrays["labels"], jnp.float32)
    x, probe = channels_last(arrays["x"]), channels_last(arrays["probe"])
    with jax.default_matmul_precision("highest"):
        out, score, gradient, vjp_x = everything(run.model, run.network, x, t, labels, probe)

    # Well inside the index's tolerances, 1e-4 and 2e-4 (rms). Most is rounding of the Fourier features' large phases.
    assert_close(out, arrays["net_output"], 3e-5, 3e-4)
    assert_close(vjp_x, arrays["vjp_x"], 5e-5, 1e-3)
    # At small t the original's std has lost digits (2.4e-4 at t = 1e-3), ours has not: undone before comparing.
    std = np.asarray(run.model.sde.sigma(t)) / arrays["std"] if "std" in arrays else np.ones_like(arrays["t"])
    assert_close(score * std[:, None, None, None], arrays["score"], 3e-5, 3e-4)

    ours = {pair.theirs: pair for pair in correspondence(gradient)}
    for name, norm in zip(arrays["param_names"], arrays["param_grad_norm"], strict=True):
        name = str(name).removeprefix("module.")
        if f"module.{name}" not in entry["tensors_without_effect"]:
            # The index allows 1e-3; sums that cancel, as biases of a normalised sum do, round to 1.5e-4.
            assert abs(np.linalg.norm(ours[name].to_theirs()) / norm - 1) < 4e-4, name


def test_discrete_vp(reference):
    """The same weights as a discrete model: the standard deviation comes from the table, at the label cut down."""
    arrays, entry = reference("networks/vp_cifar10_ddpmpp_continuous.npz")
    config = config_of(entry)
    config.training.continuous = False
    run = from_score_sde_pytorch(state_dict_of(arrays), config)
    score = quick_jit(lambda model, x, t: model.score(x, t))(
        run.model, channels_last(arrays["x"]), jnp.asarray(arrays["t"])
    )
    early = arrays["t"] < 0.02
    assert_close(score[~early], arrays["score_discrete"][~early], 1e-4, 5e-4)
    assert_close(score[early], arrays["score_discrete"][early], 5e-4, 1e-3)


@pytest.fixture
def small(reference):
    arrays, entry = reference("networks/ve_church_ncsnpp_continuous.npz")
    return state_dict_of(arrays), config_of(entry)


def test_there_and_back(small):
    """Every tensor but the unused sigmas comes back bit by bit, with or without "module."."""
    state_dict, config = small
    bare = {name.removeprefix("module."): value for name, value in state_dict.items()}
    pairs = correspondence(from_score_sde_pytorch(bare, config).network)
    assert [f"module.{pair.theirs}" for pair in pairs] == [name for name in state_dict if name != "module.sigmas"]
    for pair in pairs:
        np.testing.assert_array_equal(pair.to_theirs(), bare[pair.theirs])


def changed(state_dict, **changes):
    """The state dict with tensors replaced, or left out (None)."""
    merged = state_dict | {f"module.{name}": value for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value is not None}


def test_foreign_weights_are_refused(small):
    state_dict, config = small
    network = from_score_sde_pytorch(state_dict, config).network
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(network)]
    name = "all_modules.4.Conv_0.weight"
    cases = [
        (changed(state_dict, **{name: None}), f"1 missing: {name}\n.*incomplete state dict"),
        (changed(state_dict, **{"all_modules.99.W": np.ones(3)}), "1 left over: all_modules.99.W"),
        (
            changed(state_dict, **{name: np.ones((3, 3, 16, 16))}),
            r"1 of another shape: .* \(3, 3, 16, 16\) instead of \(16, 16, 3, 3\)\n.*transposed",
        ),
        ({"model": {}, "ema": {}, "optimizer": {}, "step": 3}, r'whole checkpoint; give its \["model"\]'),
        ({"layers.0.weight": np.ones(3)}, "checkpoint of another code base"),
        ({}, "none at all"),
    ]
    for wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            load(network, wrong)
    for a, b in zip(before, jax.tree.leaves(network), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_architecture(small, reference):
    """The hint of the message names what to look at."""
    state_dict, _ = small
    other = config_of(reference("networks/vp_ddpm_cifar10_continuous.npz")[1])
    with pytest.raises(ValueError, match=r"missing: .* more\n.*left over: (.*\n)*.*is it the config of this"):
        from_score_sde_pytorch(state_dict, other)


def test_number_of_scales(reference):
    """A table of labels must be the one of the training; where it is not used, any will do."""
    arrays, entry = reference("networks/ve_cifar10_ncsnpp.npz")
    config = config_of(entry)
    config.model.num_scales = 500
    with pytest.raises(ValueError, match=r"config\.sde\.num_scales is not what the model was trained with"):
        from_score_sde_pytorch(state_dict_of(arrays), config)
    arrays, entry = reference("networks/ve_cifar10_ncsnpp_continuous.npz")
    config = config_of(entry)
    config.model.num_scales = 500
    assert from_score_sde_pytorch(state_dict_of(arrays), config).model.sde.num_scales == 500


def test_unused_tensors_of_networks_that_are_not_told_the_noise_level():
    """The original keeps the Fourier frequencies and the blocks' dense layers of such a network, which do nothing."""
    options = {"nf": 8, "ch_mult": (1,), "num_res_blocks": 1, "attn_resolutions": (), "conditional": False}
    network = draw(lambda: NCSNpp(8, 3, **options, rngs=nnx.Rngs(0)))
    tensors = {pair.theirs: pair.to_theirs() for pair in correspondence(network)}
    assert next(iter(tensors)) == "all_modules.1.weight"
    idle = {"all_modules.0.W": np.ones(8), "all_modules.2.Dense_0.weight": np.ones((8, 32)), "sigmas": np.ones(10)}
    load(network, tensors | idle)
    with pytest.raises(ValueError, match="left over"):
        load(network, tensors | {"all_modules.1.Dense_1.weight": np.ones(3)})


def test_what_has_no_counterpart():
    options = {"nf": 8, "ch_mult": (1,), "num_res_blocks": 1, "attn_resolutions": (), "num_classes": 2}
    network = nnx.eval_shape(lambda: NCSNpp(8, 3, **options, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="num_classes"):
        correspondence(network)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"resblock_type": "ddpm", "fir": True}, "Conv2d_0.weight"),
        ({"resblock_type": "ddpm", "fir": False}, "NIN_0.W"),
        ({"progressive": "residual"}, "Conv2d_0.weight"),
        ({"progressive_input": "input_skip", "progressive_combine": "cat"}, "Conv_0.weight"),
        ({"resblock_type": "ddpm", "resamp_with_conv": False}, "NIN_0.b"),
    ],
)
def test_every_option_has_names(options, name):
    """Each parameter has one name there, no two the same, and the values return."""
    options = {"nf": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (4,), **options}
    network = draw(lambda: NCSNpp(8, 3, **options, rngs=nnx.Rngs(0)))
    pairs = correspondence(network)
    assert len({pair.theirs for pair in pairs}) == len(pairs) == len(jax.tree.leaves(network))
    assert any(pair.theirs.endswith(name) for pair in pairs)
    for pair in pairs:
        np.testing.assert_array_equal(pair.to_ours(pair.to_theirs()), pair.variable[...])
