"""`score_sde data show` and `prepare`: what they print, when they draw, and how they fail."""

import argparse
import importlib.util

import numpy as np
import pytest
from PIL import Image

from score_sde.data.commands import add_commands
from score_sde.data.contact_sheet import contact_sheet
from tests.data.conftest import picture


def run(words, draw=contact_sheet):
    """As a program with subcommands runs them."""
    parser = argparse.ArgumentParser("score_sde")
    add_commands(parser.add_subparsers(required=True), draw)
    options = vars(parser.parse_args(words))
    return options.pop("run")(**options)


def test_show_digits(tmp_path, capsys):
    run(["show", "digits", "--split=test", f"--out={tmp_path}/sheets/digits.png"])
    printed = capsys.readouterr().out
    for fact in ("examples  355", "8 x 8 x 1, uint8, 17 levels", "range     0 to 16", "10 classes: 0: 35, 1: 36"):
        assert fact in printed
    sheet = np.asarray(Image.open(tmp_path / "sheets" / "digits.png"))
    assert sheet.shape == (8 * 66 + 2, 12 * 66 + 2, 3)


def test_sheet_shows_the_pixels(folder, tmp_path):
    run(["show", str(folder), f"--out={tmp_path}/sheet.png"])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    np.testing.assert_array_equal(sheet[2:66:8, 2:66:8], picture(0))  # 8 x 8 images, enlarged eight times
    np.testing.assert_array_equal(sheet[2:66:8, 68:132:8], picture(3))


def test_show_points_and_options(tmp_path, capsys):
    run(["show", "moons", "--set", "size=123", f"--out={tmp_path}/moons.png"])
    printed = capsys.readouterr().out
    assert "examples  123" in printed
    assert "float32, continuous" in printed
    assert "labels    none" in printed
    assert Image.open(tmp_path / "moons.png").size[0] > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "digits", "--split=all"], "digits has no split 'all'"),
        (["show", "nowhere.zip"], "there is no source, file or folder 'nowhere.zip'"),
        (["show", "moons", "--set", "size"], "it must be OPTION=VALUE"),
        (["show", "digits", "--set", "size=3"], "unexpected keyword argument 'size'"),
        (["prepare", "cifar11"], "TFDS has no set 'cifar11'"),
    ],
)
def test_bad_commands(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=message):
        run(arguments)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed")
@pytest.mark.parametrize(("name", "known_as"), [("cifar10", "cifar10"), ("svhn", "svhn_cropped")])
def test_prepare_says_what_it_needs(name, known_as):
    message = rf"preparing {known_as} needs TensorFlow, reading .* pip install 'score_sde\[prepare\]'"
    with pytest.raises(ValueError, match=message):
        run(["prepare", name])


def test_without_a_pen_it_only_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "set.npz", data=np.zeros((4, 8, 8), np.uint8), mask=np.zeros((4, 8, 8), bool))
    source = run(["show", "set.npz"], draw=None)
    assert source.entries == ("mask",)
    assert "entries   mask bool (8, 8)" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]
    with pytest.raises(SystemExit):
        run(["show", "set.npz", "--out=x.png"], draw=None)
