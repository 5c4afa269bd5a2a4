"""Packed runs: what goes in comes out, rounded to float16; damage and mistakes are told."""

import json

import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde import box, parameters
from score_sde.experiment import Figure, pack
from score_sde.experiment.card import read_card, write_card
from score_sde.formats import safetensors
from tests.training import toy

ABOUT = {
    "title": "Toy",
    "about": "A toy.",
    "data": "two moons",
    "licence": "none",
    "command": "pytest",
    "hours": 0.001,
    "machine": "two CPU cores",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = toy.get_config()
    config.training.update(steps=10)
    config.logging.preview = 0
    return ss.train(config, tmp_path_factory.mktemp("run") / "toy")


@pytest.fixture
def folder(run, tmp_path):
    pack(run, tmp_path / "toy", **ABOUT)
    return tmp_path / "toy"


def test_what_is_packed_is_what_is_loaded(run, folder):
    again = ss.load(folder)
    assert {path.name for path in folder.iterdir()} == {"config.json", "weights.safetensors", "card.json"}
    assert again.config.to_dict() == run.config.to_dict()
    mine, constants, _ = parameters.split(run.model)
    theirs, same, _ = parameters.split(again.model)
    for name, value in mine.items():
        assert theirs[name].dtype == np.float32
        np.testing.assert_array_equal(theirs[name], np.asarray(value).astype(np.float16), err_msg=name)
    for name, value in constants.items():
        np.testing.assert_array_equal(same[name], value)
    out = again.sample(jax.random.key(0), 4)
    assert np.isfinite(np.asarray(out.x)).all()
    assert (again.step, again.weights, again.workdir) == (10, "ema", None)


def test_the_card(run, folder):
    card = ss.load(folder).card
    assert (card.step, card.seed, card.weights) == (10, run.config.seed, "ema")
    assert card.parameters == sum(value.size for value in parameters.split(run.model)[0].values())
    measured = card.with_figures({"bits/dim": Figure(1.234, "± 0.01", "python judge.py", "two CPU cores")})
    write_card(folder / "card.json", measured)
    assert read_card(folder / "card.json") == measured
    text = str(ss.load(folder).card)
    for words in ("# Toy", "two moons (none)", "| bits/dim | 1.234 | ± 0.01 | `python judge.py`, two CPU cores |"):
        assert words in text


def test_damage_is_noticed(folder):
    arrays = safetensors.read(folder / "weights.safetensors", precision=None)
    name = next(iter(arrays))
    safetensors.write(folder / "weights.safetensors", {**arrays, name: arrays[name] + 1})
    with pytest.raises(ValueError, match=r"weights.safetensors is damaged .* its hash is \w+, the card has \w+"):
        ss.load(folder)
    (folder / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"weights.safetensors"):
        ss.load(folder)
    content = json.loads((folder / "card.json").read_text())
    del content["hash"]
    (folder / "card.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is no card of this release: its entries differ in hash"):
        ss.load(folder)


def test_a_packed_run_has_one_set_of_weights(run, folder):
    with pytest.raises(ValueError, match=r"step = 7; .* has the weights of step 10 alone"):
        ss.load(folder, step=7)
    with pytest.raises(ValueError, match=r"weights = 'raw'; .* has 'ema' alone"):
        ss.load(folder, weights="raw")
    pack(run, folder, **{**ABOUT, "title": "Another"})  # a packed run may be replaced
    assert ss.load(folder).card.title == "Another"
    with pytest.raises(ValueError, match="is not empty; give another"):
        pack(run, run.workdir, **ABOUT)


def test_models_in_the_box_are_found_by_name(run, folder, monkeypatch):
    monkeypatch.setattr(box, "BOX", folder.parent)
    assert ss.pretrained() == {"toy": "Toy"}
    assert ss.pretrained("toy").card.title == "Toy"
    with pytest.raises(ValueError, match="there is no model 'toi' in the box; did you mean 'toy'"):
        ss.pretrained("toi")
    reference = {"run": "toy", "step": None, "weights": "ema", "hash": None}
    model = ss.experiment.loading.resolve(reference)
    assert parameters.split(model)[0].keys() == parameters.split(run.model)[0].keys()
