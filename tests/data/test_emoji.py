"""The emoji, where their packages are installed; what to install, where they are not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from score_sde.data.sources import emoji as source

needs_packages = pytest.mark.skipif(
    not Path(source.FONT).exists() or importlib.util.find_spec("emoji") is None,
    reason="apt-get install fonts-noto-color-emoji && pip install emoji",
)


@needs_packages
def test_one_tone_of_a_third_of_the_bases_is_held_out():
    train, test = source.emoji("train"), source.emoji("test")
    assert (len(train), len(test)) == (1521, 109)
    pairs = [set(zip(s.others["base"], s.others["tone"], strict=True)) for s in (train, test)]
    assert not pairs[0] & pairs[1]
    assert set(test.others["base"]) <= set(train.others["base"])
    assert set(np.unique(test.others["tone"])) == set(range(5))
    assert str(train.others["caption"][0]) == "Mrs. Claus, medium-light skin tone"


@needs_packages
def test_the_judge_is_calibrated():
    """Real pictures and noisy ones pass; the neighbouring tone, which a memoriser gives, never; a blur in part."""
    test = source.emoji("test")
    assert source.agrees(test.data, test.others)["all"].all()
    noise = np.random.default_rng(0).normal(0, 25, test.data.shape)
    assert source.agrees(np.clip(test.data + noise, 0, 255).astype(np.uint8), test.others)["all"].mean() > 0.98
    tone = (test.others["tone"] + 1) % 5
    train = source.emoji("train")
    rows = {pair: i for i, pair in enumerate(zip(train.others["base"], train.others["tone"], strict=True))}
    by_heart = train.data[[rows[pair] for pair in zip(test.others["base"], tone, strict=True)]]
    found = source.agrees(by_heart, test.others)
    assert found["base"].mean() > 0.98
    assert found["all"].mean() == 0


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="does not exist; apt-get install fonts-noto-color-emoji"):
        source.emoji(font=tmp_path / "none.ttf")
    monkeypatch.setitem(__import__("sys").modules, "emoji", None)
    with pytest.raises(ValueError, match="pip install emoji"):
        source._sequences()
