"""--mode=sample with prompts and --mode=edit as a person uses them, on models of two steps."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

import score_sde as ss
from score_sde import experiment
from score_sde.data.source import mixed

SMALL = {
    "denoiser": {"predicts": "noise"},
    "network": {"name": "ncsnpp", "nf": 8, "ch_mult": (1, 1), "num_res_blocks": 1, "attn_resolutions": (16,)},
    "batches": {"batch_size": 4},
    "optim": {"lr": 1e-3, "warmup": 0},
    "training": {"steps": 2, "steps_per_call": 1, "checkpoint_every": 2, "snapshot_every": 2},
    "logging": {"tensorboard": False, "preview": 0},
    "sampler": {"name": "ddim", "steps": 2},
}
TEXT = {"text": {"key": "caption", "text": {"name": "words", "length": 12}, "dropout": 0.1}}


@pytest.fixture(scope="module")
def told_a_text(tmp_path_factory):
    levels = {"scaling": {"dequantize": True}}
    return ss.train(
        {**SMALL, **levels, "data": {"name": "shapes"}, "conditions": TEXT}, tmp_path_factory.mktemp("text") / "run"
    )


@pytest.fixture(scope="module")
def told_the_rest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rest")
    np.savez(folder / "data.npz", data=np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8))
    network = {"name": "concatenation", "network": SMALL["network"], "leaves": {"rest": 4}}
    conditions = {"rest": {"made": {"name": "hidden"}, "null": 0.0, "dropout": 0.0}}
    data = {"name": "arrays", "path": str(folder / "data.npz"), "test_fraction": 0.25}
    return ss.train({**SMALL, "data": data, "network": network, "conditions": conditions}, folder / "run")


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    return str(tmp_path / "mine.png")


def test_samples_of_prompts_have_them_in_turn(told_a_text, capsys):
    prompts = ["a small red circle at the top left", "a large blue square at the bottom right"]
    experiment.sample(told_a_text.config, told_a_text.workdir, n=3, prompts=prompts)
    file = told_a_text.workdir / "eval" / "prompted_2.npz"
    with np.load(file) as kept:
        assert kept["data"].shape == (3, 32, 32, 3)
        np.testing.assert_array_equal(kept["text"][0], kept["text"][2])
        wanted = told_a_text.condition(text=prompts[:1])
        np.testing.assert_array_equal(kept["text"][:1], wanted["text"])
    assert Image.open(file.with_suffix(".png")).size[0] > 100
    assert json.loads(file.with_suffix(".json").read_text())["samples"]["samples"] == 3
    assert "prompted_2.npz (3 samples) and prompted_2.png" in capsys.readouterr().out


def test_a_sample_does_not_depend_on_the_prompts_of_its_neighbours(told_a_text):
    one = ["a small red circle at the top left"]
    others = ["a large blue square at the bottom right", "a small green triangle at the top right"]
    drawn = [
        told_a_text.sample(jax.random.key(0), 3, condition=told_a_text.condition(text=one + rest)).x
        for rest in (others, others[::-1])
    ]
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    assert float(abs(drawn[0][1] - drawn[1][1]).max()) > 0


def test_samples_are_told_held_out_captions_unless_told_otherwise(told_a_text):
    source = told_a_text.source("test")
    held_out = source.take(mixed(5, len(source)))
    np.testing.assert_array_equal(told_a_text.usual_condition(3)["text"], held_out["caption"][:3])
    assert len({tuple(caption) for caption in held_out["caption"]}) > 2  # not all of one combination, as the first are
    np.testing.assert_array_equal(told_a_text.usual_condition(5)["text"], held_out["caption"])


def test_a_picture_is_edited_towards_a_prompt(told_a_text, picture):
    config, folder = told_a_text.config, told_a_text.workdir
    prompts = ["a small red circle", "a large blue square"]
    file = experiment.edit(config, folder, picture, strength=0.5, prompts=prompts)
    with np.load(file) as kept:
        assert kept["original"].shape == kept["edited"].shape == (2, 32, 32, 3)
        np.testing.assert_array_equal(kept["original"][0], kept["original"][1])
        assert (kept["edited"][0] != kept["edited"][1]).any()
    assert Image.open(file.with_suffix(".png")).size[0] > 100


@pytest.mark.parametrize("mask", ["box:8", "outside:8", "drawn"])
def test_what_is_not_masked_stays_to_the_last_bit(told_the_rest, picture, mask, tmp_path):
    if mask == "drawn":
        white = np.zeros((16, 16), np.uint8)
        white[2:7, 3:9] = 255
        mask = str(tmp_path / "mask.png")
        Image.fromarray(white).save(mask)
    file = experiment.edit(told_the_rest.config, told_the_rest.workdir, picture, mask=mask, n=2)
    with np.load(file) as kept:
        where = np.broadcast_to(kept["mask"], kept["edited"].shape)
        assert 0 < kept["mask"].mean() < 1
        np.testing.assert_array_equal(kept["edited"][~where], kept["original"][~where])
        assert (kept["edited"][where] != kept["original"][where]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.5}, "strength = 1.5; allowed: above 0"),
        ({"mask": "oval:3"}, "mask = 'oval:3'; give a picture, white where"),
        ({"prompts": ["a shoe"]}, "prompts are for a model that is told a text; this one is told rest"),
        ({"label": 3}, "condition 'label' is unknown; this model takes 'rest'"),
    ],
)
def test_bad_input(told_the_rest, picture, options, message):
    with pytest.raises(ValueError, match=message):
        experiment.edit(told_the_rest.config, told_the_rest.workdir, picture, **options)
