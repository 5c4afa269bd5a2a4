"""--mode=restore as a person uses it: a run, an operator by name, a split or a folder; its files, and its answers."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from score_sde import experiment
from score_sde.experiment import Experiment
from tests.training import toy


def config_of(**restore):
    config = toy.get_config()
    config.data = {"name": "digits"}
    config.training.update(steps=2, evaluate_every=2, checkpoint_every=2, snapshot_every=2)
    config.logging = {"preview": 0, "tensorboard": False}
    config.sampler = {"name": "ddim", "steps": 3}
    config.evaluation = {"batch_size": 4}
    config.restore = {
        "operator": {"name": "half_mask"},
        "std": 0.1,
        "method": "diffpir",
        "draws": 2,
        "first": 6,
        **restore,
    }
    return config


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    experiment.train(config_of(), folder)
    return folder


def test_a_split_is_restored_into_arrays_a_picture_and_figures(workdir, capsys):
    (found,) = experiment.restore(config_of(), workdir).values()
    assert "residual²/std²" in capsys.readouterr().out
    stored = json.loads((workdir / "restore" / "2.json").read_text())
    assert stored["draws"] == json.loads(json.dumps(found["draws"]))
    assert stored["draws"]["noise"] == {"std in model space": 0.1, "std from 0 to 1": 0.05}
    with np.load(workdir / "restore" / "2_draws.npz") as kept:
        assert kept["draws"].shape == (6, 2, 8, 8, 1)
        test = Experiment.of(config_of()).source("test").data[:6]
        np.testing.assert_allclose(kept["original"], test / 16 * 2 - 1, atol=1e-6)
    with Image.open(workdir / "restore" / "2_draws.png") as picture:
        assert min(picture.size) > 500


def test_a_folder_is_resized_to_the_model(workdir, tmp_path):
    for i in range(3):
        Image.fromarray(np.full((16, 16), 80 * i, np.uint8)).save(tmp_path / f"{i}.png")
    (found,) = experiment.restore(config_of(), workdir, str(tmp_path), "folder").values()
    assert found["draws"]["examples"] == 3
    with np.load(workdir / "folder" / "2_draws.npz") as kept:
        assert kept["original"].std(axis=(1, 2, 3)).max() < 1e-6


def test_a_solver_that_does_not_converge_is_told(workdir, capsys):
    method = {"name": "mmps", "solver": {"name": "gmres", "iterations": 1}, "tolerance": 1e-5}
    (found,) = experiment.restore(config_of(method=method, first=2), workdir, folder="unsolved").values()
    assert found["draws"]["failed draws"] == 4
    assert (
        "4 of 4 draws failed and count as they are: the state became non-finite, the linear" in capsys.readouterr().out
    )


def test_a_restoration_without_a_problem_says_what_to_give(workdir):
    config = config_of()
    config.restore = None
    with pytest.raises(ValueError, match=r"config.restore is missing; give the operator and std, such as --config"):
        experiment.restore(config, workdir)


def test_another_problem_in_the_same_folder_is_refused(workdir):
    experiment.restore(config_of(), workdir, folder="one")
    with pytest.raises(ValueError, match="holds an evaluation with other settings: evaluator = "):
        experiment.restore(config_of(std=0.2), workdir, folder="one")


def test_images_of_another_shape_are_refused(workdir, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((2, 8, 12, 1), np.uint8))
    with pytest.raises(ValueError, match=r"have shape \(8, 12, 1\), but the model is of \(8, 8, 1\)"):
        experiment.restore(config_of(), workdir, str(tmp_path / "wide.npy"), "wide")


@pytest.mark.parametrize(
    ("restore", "words"),
    [
        ({"operator": "box_mask"}, r"config.restore.operator.size is missing"),
        (
            {"operator": {"name": "box_mask", "size": 9}},
            r"config.restore.operator: a box of size .* does not lie inside",
        ),
        ({"operator": "half_msk"}, r"did you mean 'half_mask'"),
        ({"method": "mmpz"}, r"did you mean 'mmps'"),
        ({"method": {"name": "mmps", "solver": {"name": "cg", "iterations": 0}}}, "iterations = 0; allowed: 1 or more"),
        ({"std": -0.1}, r"std = -0.1; allowed: 0 or more"),
    ],
)
def test_mistakes_in_the_config_are_told(restore, words):
    with pytest.raises(ValueError, match=words):
        assert Experiment.of(config_of(**restore)).restoration


@pytest.mark.parametrize("name", ["mmps", "pigdm", "tmpd", "sda", "diffpir", "ddnm"])
def test_posterior_denoisers_are_methods_by_name(name):
    measure = Experiment.of(config_of(method=name)).restoration
    assert getattr(measure.method, "func", measure.method).__name__ == name
    assert f"method={name}" in repr(measure)
    assert " at 0x" not in repr(measure)


@pytest.mark.parametrize("name", ["dps", "replacement", "ddrm", "daps", "pnp_dm", "smc"])
def test_samplers_are_methods_with_their_options(name):
    steps = {"name": name, "steps": 7} if name != "pnp_dm" else {"name": name, "sweeps": 7}
    measure = Experiment.of(config_of(method=steps)).restoration
    assert measure.method.func.__name__ == name
    assert 7 in measure.method.keywords.values()
    assert jax.tree.leaves(measure.operator)
