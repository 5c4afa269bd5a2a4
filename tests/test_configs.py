"""The configs of the paper: their networks have the published sizes; a config that cannot be used is told in words."""

import functools
import importlib
import json
from pathlib import Path

import jax
import pytest
from flax import nnx
from ml_collections import ConfigDict

from score_sde.config import ConfigError, checked, differences, override
from score_sde.experiment import experiment_of
from score_sde.networks.embed import Frozen
from score_sde.samplers import LearnedVariance
from tests.networks.quick import draw, quick_jit
from tests.training import toy

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
ROOT = Path(__file__).parents[1] / "configs"


def get_config(name: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config()


@functools.cache
def abstract_network(fields: str) -> nnx.Module:
    """The network of a config, without numbers. Many configs share one and differ in their process or data alone."""
    experiment = experiment_of(json.loads(fields))
    return nnx.eval_shape(lambda: experiment.network(nnx.Rngs(0)))


def network_of(config: ConfigDict) -> nnx.Module:
    kept = {name: config[name].to_dict() for name in ("network", "example", "scaling", "data", "batches", "denoiser")}
    sde = config.sde.to_dict() if config.network.scale_by_sigma else {"name": "vp"}
    return abstract_network(json.dumps(kept | {"sde": sde}))


def size(network, kind) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, kind)))


def test_every_config_is_in_the_table():
    """Configs of others may be added beside the paper's; none of the paper's may be missing."""
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in ROOT.rglob("*.py")}
    assert set(PARAMETERS) <= names


LARGE = ("deep", "256", "bedroom", "church", "celebahq", "ffhq")
COUNTED = [
    pytest.param(name, marks=[pytest.mark.slow] if any(word in name for word in LARGE) else []) for name in PARAMETERS
]


@pytest.mark.parametrize("name", COUNTED)
def test_parameter_counts(name):
    experiment = experiment_of(get_config(name))
    network = network_of(experiment.config)
    assert (size(network, nnx.Param), size(network, Frozen)) == PARAMETERS[name]
    model = experiment.model_over(network)
    score = experiment.config.loss.name == "discrete" or experiment.config.sde.name == "ve"
    assert model.predicts == ("score" if score else "noise")


ADM = {  # the papers round: 296 M, 422 M, 554 M, and "about 120 M" for iDDPM on ImageNet
    "adm.cifar10_iddpm": 52_546_438,
    "adm.imagenet64_iddpm": 121_063_942,
    "adm.imagenet64": 295_904_454,
    "adm.imagenet128": 421_529_606,
    "adm.imagenet256": 553_838_086,
    "adm.bedroom": 552_814_086,
}
ADM_COUNTED = [pytest.param(name, marks=[] if name == "adm.imagenet64" else pytest.mark.slow) for name in ADM]


@pytest.mark.parametrize("name", ADM_COUNTED)
def test_parameter_counts_of_adm(name):
    experiment = experiment_of(get_config(name))
    network = nnx.eval_shape(lambda: experiment.network(nnx.Rngs(0)))
    assert size(network, nnx.Param) == ADM[name]
    assert isinstance(experiment.sampler.keywords["predictor"], LearnedVariance)


SMALL = {
    "adm.cifar10_iddpm": {"nf": 32, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (4,)},
    "ncsn.cifar10_v2": {"nf": 4},
    "ncsn.cifar10": {"nf": 4},
}


@pytest.mark.parametrize("name", SMALL)
def test_small_versions_have_a_loss(name):
    """The config's own loss of 8 x 8 images, on its own chain."""
    config = get_config(name)
    config.example.shape = (8, 8, 3)
    config.network.update(SMALL[name])
    experiment = experiment_of(config)
    network = draw(lambda: experiment.network(nnx.Rngs(0)))
    loss = experiment.loss()
    x0, keys = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3)), jax.random.split(jax.random.key(1), 2)
    values = quick_jit(lambda model: loss(model, x0, keys, None))(experiment.model_over(network))
    assert values.shape == (2,)
    assert bool(jax.numpy.isfinite(values).all())


def test_no_config_imports_interop():
    for file in ROOT.rglob("*.py"):
        assert "interop" not in file.read_text(), file


def test_every_config_passes_and_is_complete():
    files = [file for file in ROOT.rglob("*.py") if file.name != "default.py"]
    assert len(files) >= 30
    for file in files:
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        whole = checked(get_config(name).to_dict())
        assert differences(whole, checked(whole)) == [], name


def refused(**sections) -> str:
    with pytest.raises(ConfigError) as error:
        checked({**toy.get_config().to_dict(), **sections})
    return str(error.value)


def test_unknown_fields_get_the_nearest_name():
    assert "config.trainin is unknown; did you mean config.training?" in refused(trainin={})
    message = refused(training={"step": 3}, optim={"lr": "fast"})
    assert "config.training.step is unknown; did you mean config.training.steps?" in message
    assert "config.optim.lr = 'fast'; it must be a number" in message  # all of it in one message
    assert "config.sampler.name = 'heuns'; did you mean 'heun'?" in refused(sampler="heuns")
    assert "config.sde.beta_mn is unknown; did you mean config.sde.beta_min?" in refused(sde={"beta_mn": 1})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"sde": {"beta_min": {"a": 1}}}, "config.sde.beta_min = a section; it must be a number"),
        ({"sde": {"beta_min": float("nan")}}, "config.sde.beta_min = nan; it is not a number (NaN)"),
        ({"sde": 3}, "config.sde = 3; it must be a section, or a name: 'edm'"),
        ({"network": {"width": 8}}, "config.network.name is missing; allowed: 'adm', 'ddpm'"),
        ({"network": {"name": "mlp", "width": 8.5}}, "config.network.width = 8.5; it must be a whole number"),
        (
            {"network": {"name": "no_such_module:Net"}},
            "'no_such_module:Net' cannot be imported: No module named",
        ),
        ({"loss": {"times": {"name": "log_normal", "stdd": 1}}}, "did you mean config.loss.times.std?"),
        ({"loss": {"weighting": 3}}, "config.loss.weighting = 3; it must be a section, or a name: 'score_matching'"),
        ({"averages": {"ema": {"rate": True}}}, "config.averages.ema.rate = True; it must be a number"),
        ({"batches": {}}, "config.batches.batch_size is missing; it must be a whole number"),
        ({"version": 1}, "config.version = 1; this release reads version 2"),
    ],
)
def test_what_cannot_be_used_is_said(sections, message):
    assert message in refused(**sections)


def built(**sections):
    return experiment_of({**toy.get_config().to_dict(), **sections})


def test_any_field_of_a_constructor_is_a_field():
    """Of a process, whether the original had it or not; of a network, a sampler, and of what is named by import path."""
    experiment = built(
        sde={"name": "cosine", "offset": 0.008, "t_min": 1e-3},
        sampler={"name": "heun", "s_churn": 4, "time_grid": {"name": "karras", "rho": 5}},
        loss={"weighting": {"name": "min_snr", "gamma": 3}, "times": "log_snr_uniform"},
    )
    assert (experiment.sde.offset, experiment.sde.t_min) == (0.008, 1e-3)
    assert experiment.sampler.keywords["s_churn"] == 4
    assert experiment.sampler.keywords["time_grid"].keywords == {"rho": 5.0}
    own = built(sampler={"name": "score_sde.samplers.ddim:ddim", "eta": 0.5})
    assert own.sampler.keywords == {"steps": 100, "eta": 0.5}


def test_overrides_have_the_type_of_their_field():
    config = toy.get_config().to_dict()
    for path, text, value in [
        ("optim.lr", "1", 1.0),
        ("network.num_classes", "10", 10),
        ("data.size", "50", 50),
        ("data.name", "123", "123"),
        ("loss.weighting", "edm", "edm"),
        ("loss.times.name", "log_normal", "log_normal"),
        ("logging.tensorboard", "true", True),
        ("logging.wandb", "None", None),
        ("logging.wandb", "12", "12"),
        ("parallel.rules", "fsdp", "fsdp"),
        ("averages.ema.rate", "0.5", 0.5),
        ("conditions.label.dropout", "0", 0),
        ("evaluation.steps", "newest", "newest"),
        ("evaluation.steps", "(10, 20)", (10, 20)),
        ("example.shape", "8", (8,)),
    ]:
        found = override(config, path, text)
        for name in path.split("."):
            found = found[name]
        assert (found, type(found)) == (value, type(value)), path


def test_a_whole_section_set_by_name_loses_the_fields_of_what_it_named_before():
    config = override(toy.get_config().to_dict(), "sampler", "heun")
    assert checked(config)["sampler"]["name"] == "heun"
    kept = override({**toy.get_config().to_dict(), "sampler": {"name": "ddim", "eta": 1.0}}, "sampler.name", "heun")
    with pytest.raises(ConfigError, match=r"config\.sampler\.eta is unknown"):
        checked(kept)


def test_parts_with_names_of_their_own_may_be_named_alone():
    config = toy.get_config().to_dict()
    for text, names in (("label", ["label"]), ("label, map", ["label", "map"]), ("('label', 'map')", ["label", "map"])):
        found = checked(override(config, "conditions", text))["conditions"]
        assert list(found) == names
        assert found["label"]["dropout"] == 0.1
    assert checked(override(config, "measures", "bits_per_dim"))["measures"]["bits_per_dim"]["name"] == "bits_per_dim"
    with pytest.raises(ConfigError, match=r"config.conditions = 3; it must be a section"):
        checked(override(config, "conditions", "3"))


def test_differences():
    one = checked(toy.get_config().to_dict())
    assert differences(one, one) == []
    assert differences(one, checked(override(one, "optim.lr", "1"))) == ["config.optim.lr: 0.001 there, 1.0 here"]
