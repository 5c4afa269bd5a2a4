"""The original's config files, as they are."""

import importlib
import sys
import warnings

import jax
import pytest
from flax import nnx

import score_sde as ss
from score_sde.config import checked, differences
from score_sde.experiment import Experiment
from tests.interop.originals import NCSN, ROWS


@pytest.mark.parametrize("name", ROWS)
def test_translated_originals_are_our_own_configs(name, tmp_path):
    """Field by field, for every row of the facts table; with neither torch nor their configs/ on the machine."""
    file = tmp_path / "their_config.py"
    file.write_text(ROWS[name].text())
    read_config = ss.interop.read_config  # the room itself is imported when it is first asked for
    before = dict(sys.modules), list(sys.path)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        translated = read_config(file)
    assert (dict(sys.modules), list(sys.path)) == before
    ours = importlib.import_module(f"configs.{name.replace('/', '.')}").get_config()
    assert differences(checked(translated.to_dict()), checked(ours.to_dict())) == []
    assert "config.device" in str(notes[0].message)
    assert Experiment.of(translated).sde == Experiment.of(ours).sde


PUBLISHED = {
    "ve/ncsn/cifar10": "ncsn.cifar10",
    "ve/ncsn/celeba": "ncsn.celeba",
    "ve/ncsnv2/cifar10": "ncsn.cifar10_v2",
    "ve/ncsnv2/celeba": "ncsn.celeba_v2",
    "ve/ncsnv2/bedroom": "ncsn.bedroom_v2",
}


@pytest.mark.filterwarnings("ignore:fields of the config", "ignore:config.training")
@pytest.mark.parametrize("name", NCSN)
def test_ncsn(name, tmp_path):
    """All eleven build, their slips mended; five are our own but for the last denoising, which the originals leave out."""
    file = tmp_path / "their_config.py"
    file.write_text(NCSN[name].text())
    translated = ss.interop.read_config(file)
    experiment = Experiment.of(translated)
    assert experiment.sampler.func is ss.samplers.annealed_langevin
    network = nnx.eval_shape(lambda: experiment.network(nnx.Rngs(0)))
    assert network.labelled == ("v2" not in name)
    assert network.scale_by_sigma == ("v2" in name)
    if name in PUBLISHED:
        ours = importlib.import_module(f"configs.{PUBLISHED[name]}").get_config()
        left = differences(checked(translated.to_dict()), checked(ours.to_dict()))
        assert left == ["config.sampler.final: 'none' there, 'denoise' here"]


def test_slips_of_the_originals_are_mended_with_a_word(tmp_path):
    file = tmp_path / "c.py"
    for name, words in (("celeba", "loss is taken for config.training.sde"), ("bedroom", "continuouse is taken for")):
        file.write_text(NCSN[f"ve/ncsn{'v2' if name == 'bedroom' else ''}/{name}"].text())
        with pytest.warns(UserWarning, match=words):
            ss.interop.read_config(file)


def test_our_own_configs_pass_through_unchanged():
    ours = importlib.import_module("configs.ve.church_ncsnpp_continuous").get_config()
    assert ss.interop.read_config(ours) is ours


def test_what_was_hard_wired_is_written_down(tmp_path):
    file = tmp_path / "c.py"
    file.write_text(ROWS["ve/cifar10_ncsnpp_continuous"].text())
    with pytest.warns(UserWarning, match="fields of the config"):
        sampler = Experiment.of(ss.interop.read_config(file)).sampler
    assert sampler.func is ss.samplers.predictor_corrector
    assert sampler.keywords["corrector"] == ss.samplers.Langevin(0.16, 1, "batch")
    assert sampler.keywords["predictor"] == ss.samplers.ReverseDiffusion()
    assert (sampler.keywords["steps"], sampler.keywords["final"]) == (1000, "mean")
    assert sampler.keywords["time_grid"] is ss.samplers.grids.published
    truth = ss.analytic.GaussianMixture([[0.5, 0.5]], [0.1])
    out = sampler(truth.denoiser(ss.VE(num_scales=20)), jax.random.key(0), 8, (2,), steps=20)
    assert out.nfe.tolist() == [40] * 8


def test_defaults_beside_the_file_are_preferred(tmp_path):
    """A private tree with its own defaults, in which a config imports them as the original does."""
    folder = tmp_path / "configs" / "ve"
    folder.mkdir(parents=True)
    (folder.parent / "default_cifar10_configs.py").write_text(
        "import torch\nfrom score_sde.interop.score_sde.defaults import cifar10\n"
        "def get_default_configs():\n    config = cifar10()\n    config.optim.lr = 7e-5\n    return config\n"
    )
    (folder / "mine.py").write_text(ROWS["ve/cifar10_ncsnpp"].text())
    with pytest.warns(UserWarning, match="fields of the config"):
        assert ss.interop.read_config(folder / "mine.py").optim.lr == 7e-5


def test_other_ways_to_import(tmp_path):
    file = tmp_path / "c.py"
    body = ROWS["vp/ddpm/cifar10"].text()
    for line, call in (
        ("from configs import default_cifar10_configs", "default_cifar10_configs.get_default_configs()"),
        ("import configs.default_cifar10_configs as d", "d.get_default_configs()"),
        ("import configs.default_cifar10_configs", "configs.default_cifar10_configs.get_default_configs()"),
    ):
        text = body.replace("from configs.default_cifar10_configs import get_default_configs", line)
        file.write_text(text.replace("get_default_configs()\n", call + "\n", 1))
        with pytest.warns(UserWarning, match="fields of the config"):
            assert ss.interop.read_config(file).network.name == "ddpm"


@pytest.mark.filterwarnings("ignore:fields of the config")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("config.modle = ml_collections.ConfigDict()", ["config.modle", "did you mean config.model?"]),
        ("del config.model.nf", ["config.model.nf is missing"]),
        ("config.model = 3", ["c.py failed", "model"]),
        ("import not_a_package", ["not_a_package"]),
        ("raise KeyError('x')", ["KeyError"]),
        ("from configs.my_defaults import nothing", ["configs.my_defaults", "default_celeba_configs"]),
    ],
)
def test_bad_configs_are_named(tmp_path, change, words):
    file = tmp_path / "c.py"
    file.write_text(ROWS["vp/ddpm/cifar10"].text().replace("  return config", f"  {change}\n  return config"))
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are what is compared
        ss.interop.read_config(file)
    for word in words:
        assert word in str(error.value)


def test_misspelt_fields_are_said_with_the_nearest_name(tmp_path):
    file = tmp_path / "c.py"
    file.write_text(ROWS["vp/ddpm/cifar10"].text().replace("training.reduce_mean", "training.reduce_means"))
    with pytest.warns(UserWarning, match=r"config.training.reduce_means: unknown here \(did you mean reduce_mean\?\)"):
        ss.interop.read_config(file)
    file.write_text("x = 1")
    with pytest.raises(ValueError, match="get_config"):
        ss.interop.read_config(file)
    with pytest.raises(ValueError, match="no config file"):
        ss.interop.read_config(tmp_path / "none.py")
