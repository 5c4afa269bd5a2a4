"""The configs of the paper: their networks have the published sizes, their fields the original's values."""

import functools
import importlib
import json
from pathlib import Path

import jax
import pytest
from flax import nnx
from ml_collections import ConfigDict

from score_sde.config import build_model, build_network, build_sde
from score_sde.networks.embed import Frozen

FOURIER = 128
DDPM, DDPM_256 = 35_218_947, 111_569_923
# The network that is not told the noise level has no embedding (two dense layers) and no dense layer in its blocks.
UNTOLD = DDPM - (129 * 512 + 513 * 512) - 513 * (2 * 128 + 6 * 256 + 2 * 256 + 9 * 256 + 3 * 128)
PARAMETERS = {  # trainable, frozen
    "ve.cifar10_ddpm": (DDPM, 0),
    "ve.cifar10_ncsnpp": (62_693_251, 0),
    "ve.cifar10_ncsnpp_continuous": (62_758_787, FOURIER),
    "ve.cifar10_ncsnpp_deep_continuous": (107_586_947, FOURIER),
    "ve.celeba_ncsnpp": (62_693_251, 0),
    "ve.bedroom_ncsnpp_continuous": (65_574_421, FOURIER),
    "ve.church_ncsnpp_continuous": (65_574_421, FOURIER),
    "ve.ffhq_256_ncsnpp_continuous": (65_574_421, FOURIER),
    "ve.celebahq_256_ncsnpp_continuous": (65_574_421, FOURIER),
    "ve.ffhq_ncsnpp_continuous": (105_785_880, 16),
    "ve.celebahq_ncsnpp_continuous": (105_785_880, 16),
    "vp.cifar10_ddpmpp": (61_804_419, 0),
    "vp.cifar10_ddpmpp_continuous": (61_804_419, 0),
    "vp.cifar10_ddpmpp_deep_continuous": (106_632_579, 0),
    "vp.cifar10_ncsnpp": (62_693_251, 0),
    "vp.cifar10_ncsnpp_continuous": (62_693_251, 0),
    "vp.cifar10_ncsnpp_deep_continuous": (107_521_411, 0),
    "vp.ddpm.cifar10": (DDPM, 0),
    "vp.ddpm.cifar10_unconditional": (UNTOLD, 0),
    "vp.ddpm.cifar10_continuous": (DDPM, 0),
    "vp.ddpm.bedroom": (DDPM_256, 0),
    "vp.ddpm.church": (DDPM_256, 0),
    "vp.ddpm.celebahq": (DDPM_256, 0),
    "subvp.cifar10_ddpm_continuous": (DDPM, 0),
    "subvp.cifar10_ddpmpp_continuous": (61_804_419, 0),
    "subvp.cifar10_ddpmpp_deep_continuous": (106_632_579, 0),
    "subvp.cifar10_ncsnpp_continuous": (62_693_251, 0),
    "subvp.cifar10_ncsnpp_deep_continuous": (107_521_411, 0),
}


def get_config(name: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config()


def network_fields(config: ConfigDict) -> str:
    """What a network depends on, as text: many configs share it and differ in their process or data alone."""
    model = {name: value for name, value in config.model.items() if name not in ("ema_rate", "beta_min", "beta_max")}
    data = {name: config.data[name] for name in ("image_size", "num_channels", "centered")}
    return json.dumps({"model": model, "data": data})


@functools.cache
def abstract_network(fields: str) -> nnx.Module:
    """The network of these fields, without numbers."""
    return nnx.eval_shape(lambda: build_network(ConfigDict(json.loads(fields)), nnx.Rngs(0)))


def size(network, kind) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, kind)))


def test_every_config_is_in_the_table():
    """Configs of others may be added beside the paper's; none of the paper's may be missing."""
    root = Path(__file__).parents[1] / "configs"
    names = {".".join(file.relative_to(root).with_suffix("").parts) for file in root.rglob("*.py")}
    assert set(PARAMETERS) <= names


LARGE = ("deep", "256", "bedroom", "church", "celebahq", "ffhq")
COUNTED = [
    pytest.param(name, marks=[pytest.mark.slow] if any(word in name for word in LARGE) else []) for name in PARAMETERS
]


@pytest.mark.parametrize("name", COUNTED)
def test_parameter_counts(name):
    config = get_config(name)
    network = abstract_network(network_fields(config))
    assert (size(network, nnx.Param), size(network, Frozen)) == PARAMETERS[name]
    model = build_model(config, network)
    assert model.predicts == ("noise" if config.training.continuous and config.training.sde != "vesde" else "score")


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
NEVER_READ = {"model.attention_type", "model.conv_size"}


@pytest.mark.parametrize("file", REFERENCE_NETWORKS)
def test_fields_are_the_originals(file, reference):
    """Where the reference data list the fields of an original config, ours has the same values."""
    entry = reference(f"networks/{file}.npz")[1]
    config = get_config(entry["config"].replace("/", "."))
    fields = {k: v for k, v in entry["config_fields"].items() if k not in NEVER_READ | set(entry["overrides"])}
    for field, value in fields.items():
        section, name = field.split(".")
        if name not in config[section] and config.model.name == "ddpm":
            continue  # DDPM's network reads no embedding_type
        ours = config[section][name]
        assert (list(ours) if isinstance(ours, tuple) else ours) == value, field


def broken(path: str, value) -> ConfigDict:
    config = get_config("vp.cifar10_ddpmpp_continuous")
    section, name = path.split(".")
    config[section].update({name: value})
    return config


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.name", "ncsnv2_64", "NCSN and NCSNv2 are not provided yet; there are 'ncsnpp', 'ddpm'"),
        ("model.name", "unet", "config.model.name = 'unet'; allowed: 'ncsnpp', 'ddpm', 'mlp', 'resnet'"),
        ("model.name", "no_such_module:Net", "cannot import 'no_such_module:Net'"),
        ("model.normalization", "InstanceNorm++", "config.model.normalization = 'InstanceNorm\\+\\+'"),
        ("model.progressive", "skip", "progressive = 'skip'; allowed"),
        (
            "training.sde",
            "edmm",
            "config.training.sde = 'edmm'; allowed: 'vesde', 'vpsde', 'subvpsde', 'cosine', 'edm'",
        ),
    ],
)
def test_bad_fields(path, value, message):
    config = broken(path, value)
    with pytest.raises(ValueError, match=message):
        build_model(config, nnx.eval_shape(lambda: build_network(config, nnx.Rngs(0))))


def test_missing_and_impossible_fields():
    config = get_config("vp.cifar10_ddpmpp_continuous")
    del config.model.ch_mult
    with pytest.raises(ValueError, match=r"config\.model\.ch_mult is missing"):
        build_network(config, nnx.Rngs(0))
    config = get_config("subvp.cifar10_ddpm_continuous")
    config.training.continuous = False
    with pytest.raises(ValueError, match="only 'vpsde' and 'vesde' have a discrete chain"):
        build_model(config, nnx.eval_shape(lambda: build_network(config, nnx.Rngs(0))))


def test_fields_of_an_sde():
    """Any field of the process, whether the original had it or not."""
    config = get_config("vp.cifar10_ddpmpp_continuous")
    config.model.sde_options = {"t_min": 1e-3, "beta_max": 12.0}
    assert (build_sde(config).t_min, build_sde(config).beta_max, build_sde(config).beta_min) == (1e-3, 12.0, 0.1)
    config.training.sde = "cosine"
    config.model.sde_options = {"offset": 0.008}
    assert build_sde(config).offset == 0.008
    config.model.sde_options = {"ofset": 0.008}
    with pytest.raises(ValueError, match=r"sde_options has ofset; 'cosine' has .*offset"):
        build_sde(config)
