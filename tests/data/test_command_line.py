"""`python -m score_sde.data`: what it prints, the sheet it draws, and how it fails."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from score_sde.data.__main__ import main
from tests.data.conftest import picture


def test_show_digits(tmp_path, capsys):
    main(["show", "digits", "--split=test", f"--out={tmp_path}/sheets/digits.png"])
    printed = capsys.readouterr().out
    for fact in ("examples  355", "8 x 8 x 1, uint8, 17 levels", "range     0 to 16", "10 classes: 0: 35, 1: 36"):
        assert fact in printed
    sheet = np.asarray(Image.open(tmp_path / "sheets" / "digits.png"))
    assert sheet.shape == (8 * 66 + 2, 12 * 66 + 2, 3)


def test_sheet_shows_the_pixels(folder, tmp_path):
    main(["show", str(folder), f"--out={tmp_path}/sheet.png"])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    np.testing.assert_array_equal(sheet[2:66:8, 2:66:8], picture(0))  # 8 x 8 images, enlarged eight times
    np.testing.assert_array_equal(sheet[2:66:8, 68:132:8], picture(3))


def test_show_points_and_options(tmp_path, capsys):
    main(["show", "moons", "--set", "size=123", f"--out={tmp_path}/moons.png"])
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
    with pytest.raises(SystemExit, match=message):
        main(arguments)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed")
@pytest.mark.parametrize(("name", "known_as"), [("cifar10", "cifar10"), ("svhn", "svhn_cropped")])
def test_prepare_says_what_it_needs(name, known_as):
    message = rf"preparing {known_as} needs TensorFlow, reading .* pip install 'score_sde\[prepare\]'"
    with pytest.raises(SystemExit, match=message):
        main(["prepare", name])
