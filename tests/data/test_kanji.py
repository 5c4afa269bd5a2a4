"""Kanji in two faces, where the fonts are installed; what to install, where they are not."""

from pathlib import Path

import numpy as np
import pytest

from score_sde.data.sources import kanji as source

needs_fonts = pytest.mark.skipif(
    not all((Path(source.FOLDER) / file).exists() for file in source.FACES.values()),
    reason="apt-get install fonts-ipafont-gothic fonts-ipafont-mincho",
)


def test_the_characters_are_those_of_the_standard():
    assert len(source.characters()) == 6355
    assert source.characters()[0] == "亜"
    assert len(set(source.characters())) == 6355


@needs_fonts
def test_characters_of_the_test_are_never_in_training():
    train, test = source.kanji("train", 28), source.kanji("test", 28)
    assert (len(train), len(test)) == (2 * 5855, 2 * 500)
    assert not set(train.others["character"]) & set(test.others["character"])
    assert set(train.others["caption"]) == {"gothic", "mincho"}


@needs_fonts
def test_the_identity_is_that_of_the_gothic_picture_in_both_faces():
    train = source.kanji("train", 28)
    first, second = np.split(train.others["identity"], 2)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(first.T), np.eye(source.FEATURES), atol=1e-2)
    one_face = source.kanji("train", 28, faces="mincho")
    np.testing.assert_array_equal(one_face.data, train.data[5855:])


@needs_fonts
def test_dots_are_at_the_centre_and_at_the_outermost_ink():
    picture = np.full((1, 16, 16, 1), 255, np.uint8)
    picture[0, 3:12, 5] = 0  # a vertical stroke
    picture[0, 11, 2:14] = 0  # and a horizontal one under it
    dots = source.dots(picture)[0, ..., 0]
    peaks = {(3, 5), (11, 8), (11, 2), (11, 13)}  # the lowest ink is in the middle of its row
    assert {tuple(place) for place in np.argwhere(dots > 0.85)} >= peaks - {(11, 8)}
    assert dots[11, 7:9].min() > 0.8
    assert dots[0].max() < 0.02


@needs_fonts
def test_the_judge_asks_for_character_and_face():
    test, gothic = source.kanji("test", faces="mincho"), source.kanji("test", faces="gothic")
    assert source.agrees(test.data, test.others)["all"].all()
    noise = np.random.default_rng(0).normal(0, 40, test.data.shape)
    assert source.agrees(np.clip(test.data + noise, 0, 255).astype(np.uint8), test.others)["all"].mean() > 0.98
    copied = source.agrees(gothic.data, test.others)
    assert copied["character"].all()
    assert not copied["all"].any()
    assert source.agrees(np.roll(test.data, 1, axis=0), test.others)["all"].mean() == 0


def test_fonts_that_are_missing(tmp_path):
    with pytest.raises(ValueError, match="does not exist; apt-get install fonts-ipafont-gothic fonts-ipafont-mincho"):
        source.drawn("gothic", 16, str(tmp_path))
