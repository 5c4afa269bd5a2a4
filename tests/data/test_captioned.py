"""Sources with captions, and the shapes."""

import numpy as np
import pytest

import score_sde as ss
from score_sde.data import ArraySource, Batches, Subset
from score_sde.data.captioned import Captioned, captions_of
from score_sde.data.sources import shapes
from score_sde.experiment import experiment_of
from score_sde.text import Words


class Counted(Words):
    """Counts the captions that it encodes."""

    def encode(self, captions):
        SEEN.extend(captions)
        return super().encode(captions)


SEEN: list[str] = []


def pictures(n=6):
    captions = np.array([("a dog", "a cat", "two cats")[i % 3] for i in range(n)])
    return ArraySource("pets", np.zeros((n, 2), np.float32), others={"caption": captions, "age": np.arange(n)})


def test_captions_are_encoded_when_read_each_once():
    source = Captioned(pictures(), {"caption": Counted(4).knowing(captions_of(pictures(), "caption"))})
    SEEN.clear()
    found = source.take(np.array([0, 3, 1]))
    assert found["caption"].dtype == np.int32
    np.testing.assert_array_equal(found["caption"][0], found["caption"][1])
    assert sorted(SEEN) == ["a cat", "a dog"]
    source.take(np.array([4, 5]))
    assert sorted(SEEN) == ["a cat", "a dog", "two cats"]
    assert captions_of(Subset(pictures(), np.array([2, 0])), "caption") == ["two cats", "a dog"]


def test_batches_hold_no_strings():
    """Captions that no condition reads stay on the host."""
    batch = Batches(pictures(), 2, shuffle=False)[0]
    assert set(batch) == {"data", "age", "index", "position"}


def test_captions_of_a_file(tmp_path):
    source = pictures()
    np.savez(tmp_path / "pets.npz", data=source.data, **source.others)
    opened = ss.data.open_source("arrays", path=tmp_path / "pets.npz")
    assert opened.entries == ("caption", "age")
    assert opened.take(np.array([1]))["caption"].tolist() == ["a cat"]


CONFIG = {
    "data": {"name": "shapes", "each": 1},
    "batches": {"batch_size": 2},
    "denoiser": {"predicts": "noise"},
    "network": {"name": "ncsnpp", "nf": 8, "ch_mult": (1, 1), "attn_resolutions": (16,)},
    "conditions": {"text": {"key": "caption", "text": {"name": "words", "length": 10}}},
}


def test_a_config_learns_its_words_from_the_data():
    """They are facts about the data, so a run is loaded without them; "" is the null value, and drops are made with it."""
    experiment = experiment_of(CONFIG)
    assert len(experiment.example.words) == 19
    condition = experiment.conditions.make(2, text="a small red circle at the top left")
    row = experiment.source("train").take(np.array([0]))
    assert condition["text"].shape == (2, 10)
    assert row["caption"].shape == (1, 10)
    np.testing.assert_array_equal(experiment.conditions.null["text"], [1] + [0] * 9)
    np.testing.assert_array_equal(experiment.conditions.make(3)["text"][2], [1] + [0] * 9)
    again = experiment_of({**experiment.config.to_dict(), "data": {"name": "digits"}})
    assert again.conditions.leaves["text"].text == experiment.conditions.leaves["text"].text
    with pytest.raises(ValueError, match=r'told in words: give text=\["..."\]'):
        experiment.conditions.make(2, text=[1, 2])


def test_data_without_captions():
    config = {**CONFIG, "data": {"name": "digits"}, "network": {**CONFIG["network"], "attn_resolutions": (4,)}}
    with pytest.raises(
        ValueError,
        match=r"made from the captions 'caption' of an example, which the data \(digits\) lack; they have 'label'",
    ):
        experiment_of(config)


def test_the_judge_of_the_shapes_knows_every_real_picture():
    for split in ("train", "test"):
        source = shapes.shapes(split, each=2)
        assert shapes.agrees(source.data, source.others)["all"].all()


def test_the_judge_is_not_pleased_by_others():
    source = shapes.shapes("test", each=2)
    moved = {name: np.roll(values, 2) for name, values in source.others.items() if name != "caption"}
    assert shapes.agrees(source.data, moved)["all"].mean() < 0.05
    assert not shapes.agrees(np.full_like(source.data, 40), source.others)["all"].any()
    noise = np.random.default_rng(0).integers(0, 256, source.data.shape, np.uint8)
    assert not shapes.agrees(noise, source.others)["all"].any()
    two = np.maximum(source.data, np.roll(source.data, 7, axis=0))  # two shapes in one picture
    assert shapes.agrees(two, source.others)["all"].mean() < 0.35


def test_a_fifth_of_the_combinations_is_held_out():
    """Each of their attributes is in the training data."""
    train, test = (
        np.stack([shapes.shapes(s, each=1).others[a] for a in shapes.ATTRIBUTES], 1) for s in ("train", "test")
    )
    assert (len(train), len(test)) == (154, 38)
    assert not {tuple(row) for row in train} & {tuple(row) for row in test}
    for column, values in enumerate(shapes.ATTRIBUTES.values()):
        assert set(train[:, column]) == set(range(len(values)))
    assert shapes.caption(test[0]) == shapes.shapes("test", each=1).others["caption"][0]
