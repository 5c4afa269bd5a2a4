"""Folders and zip files of images: pixels, crops, labels, and everything that can be wrong with them."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from score_sde import data
from score_sde.data.sources.crops import Fit
from tests.data.conftest import picture, save


def test_folder_in_the_order_of_names(folder):
    (folder / "notes.txt").write_text("not an image")
    (folder / "a" / ".hidden.png").write_bytes(b"")
    source = data.open_source("images", path=folder)
    assert (len(source), source.shape, source.levels, source.num_classes) == (12, (8, 8, 3), 256, 3)
    order = [k for label in range(3) for k in range(label, 12, 3)]
    for i, k in enumerate(order):
        np.testing.assert_array_equal(source[i]["data"], picture(k))
        assert source[i]["label"] == k % 3
    with pytest.raises(IndexError):
        source[12]


def test_zip_with_edm_labels(edm_zip):
    source = data.open_source("images", path=edm_zip)
    assert source.num_classes == 4
    for i, k in enumerate([0, 2, 4, 6, 8, 1, 3, 5, 7]):
        np.testing.assert_array_equal(source[i]["data"], picture(k))
        assert source[i]["label"] == k % 4
    again = pickle.loads(pickle.dumps(source))  # what a worker process gets
    np.testing.assert_array_equal(again[3]["data"], source[3]["data"])


@pytest.mark.parametrize(("labels", "classes"), [("auto", 4), ("json", 4), ("folders", 2), ("none", None)])
def test_kinds_of_labels(edm_zip, labels, classes):
    assert data.open_source("images", path=edm_zip, labels=labels).num_classes == classes


def test_json_without_labels(folder):
    (folder / "dataset.json").write_text('{"labels": null}')
    assert data.open_source("images", path=folder).num_classes is None


def test_images_at_the_top_have_no_labels(folder):
    save(folder / "top.png", picture(99))
    source = data.open_source("images", path=folder)
    assert source.num_classes is None
    with pytest.raises(ValueError, match=r"labels are needed, but .* has none"):
        data.training_batches(source, 4, labels=True)
    with pytest.raises(ValueError, match=r"labels = 'folders', but .* in no sub-folder"):
        data.open_source("images", path=folder, labels="folders")


def test_splits_are_sub_folders(tmp_path):
    for split, n in (("train", 3), ("test", 2)):
        for k in range(n):
            save(tmp_path / split / f"{k}.png", picture(k))
    assert len(data.open_source("images", "test", path=tmp_path)) == 2
    with pytest.raises(ValueError, match="has no split 'valid'; allowed: 'test', 'train'"):
        data.open_source("images", "valid", path=tmp_path)


def test_held_out(folder):
    train, test = (data.open_source("images", s, path=folder, test_fraction=0.25) for s in ("train", "test"))
    assert (len(train), len(test)) == (9, 3)
    assert sorted(test[i]["label"] for i in range(3)) == [0, 1, 2]


def test_grey_and_colour(tmp_path):
    save(tmp_path / "0.png", picture(0)[..., 0])
    save(tmp_path / "1.png", picture(1))
    assert data.open_source("images", path=tmp_path).shape == (8, 8, 1)
    colour = data.open_source("images", path=tmp_path, channels=3)
    np.testing.assert_array_equal(colour[0]["data"], np.repeat(picture(0)[..., :1], 3, axis=2))


# Crops.


def test_crops_take_the_middle():
    pixels = picture(0, 218, 178)  # CelebA's size
    image = Image.fromarray(pixels)
    np.testing.assert_array_equal(Fit(crop=140)(image, "it"), pixels[39:179, 19:159])
    np.testing.assert_array_equal(Fit(crop="square")(image, "it"), pixels[20:198])
    np.testing.assert_array_equal(Fit()(image, "it"), pixels)


@pytest.mark.parametrize("filter", ["box", "bilinear", "bicubic", "lanczos"])
def test_resize_keeps_a_ramp_a_ramp(filter):
    """A filter that averages over what it shrinks maps a linear ramp to the same ramp, off the border."""
    ramp = np.tile(np.arange(128, dtype=np.uint8)[None, :, None], (128, 1, 3))
    small = Fit(size=32, filter=filter)(Image.fromarray(ramp), "it").astype(float)
    expected = 4 * np.arange(32) + 1.5
    assert np.abs(small[16, 4:-4, 0] - expected[4:-4]).max() <= 0.5


def test_box_is_the_mean():
    pixels = picture(1, 64, 64)
    blocks = pixels.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(Fit(size=32, filter="box")(Image.fromarray(pixels), "it") - blocks).max() <= 1  # it rounds twice


def test_antialiasing():
    """Stripes too fine for the small image become grey, not stripes of another width."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = Fit(size=24, filter="bilinear")(Image.fromarray(stripes), "it")
    assert np.abs(small.astype(float)[:, 2:-2] - 127.5).max() < 30


def test_mixed_sizes(tmp_path):
    save(tmp_path / "a.png", picture(0, 8, 10))
    save(tmp_path / "b.png", picture(1, 12, 8))
    with pytest.raises(
        ValueError, match=r"different sizes: a.png gives 10 x 8, b.png gives 8 x 12 .* Set crop = 'square'"
    ):
        data.open_source("images", path=tmp_path)
    assert data.open_source("images", path=tmp_path, crop="square").shape == (8, 8, 3)
    assert data.open_source("images", path=tmp_path, crop="square", size=4)[1]["data"].shape == (4, 4, 3)
    cropped = data.open_source("images", path=tmp_path, crop=6)
    np.testing.assert_array_equal(cropped[0]["data"], picture(0, 8, 10)[1:7, 2:8])
    with pytest.raises(ValueError, match=r"a.png is 10 x 8 pixels, too small for crop = 9"):
        data.open_source("images", path=tmp_path, crop=9)


# What can be wrong.


def test_corrupt_images_stop_or_are_counted(folder):
    (folder / "a" / "00.png").write_bytes(b"nothing of the kind")
    whole = (folder / "b" / "01.png").read_bytes()
    (folder / "b" / "01.png").write_bytes(whole[: len(whole) // 2])  # its header is fine
    with pytest.raises(ValueError, match=r"a/00.png cannot be read .* on_corrupt = 'skip'"):
        data.open_source("images", path=folder)
    (folder / "a" / "00.png").unlink()
    source = data.open_source("images", path=folder)
    with pytest.raises(ValueError, match=r"b/01.png cannot be read .* on_corrupt = 'skip'"):
        source.take(np.arange(len(source)))
    (folder / "c" / "02.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 of 11 images cannot be read and are left out: b/01.png, c/02.png"):
        source = data.open_source("images", path=folder, on_corrupt="skip")
    assert len(source.take(np.arange(len(source)))["data"]) == 9


def test_all_corrupt(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 1 images can be read"):
        data.open_source("images", path=tmp_path, on_corrupt="skip")


def test_corrupt_entry_of_a_zip(edm_zip, tmp_path):
    content = bytearray(edm_zip.read_bytes())
    at = content.index(b"IDAT")
    content[at + 20] ^= 0xFF
    broken = tmp_path / "broken.zip"
    broken.write_bytes(content)
    with pytest.warns(UserWarning, match="1 of 9 images cannot be read"):
        assert len(data.open_source("images", path=broken, on_corrupt="skip")) == 8


def test_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep.png has mode I;16; allowed: 8 bits a channel"):
        data.open_source("images", path=tmp_path)[0]


@pytest.mark.parametrize(
    "name", ["/etc/a.png", "../a.png", "b/../../a.png", "C:\\a.png", "C:/a.png", "..\\a.png", "\\a.png"]
)
def test_zips_that_reach_outside(tmp_path, name):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"")
    with pytest.raises(ValueError, match=r"absolute names and '..' are refused"):
        data.open_source("images", path=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "is not of the form"),
        ("[]", "is not of the form"),
        ('{"labels": [["a/00.png", 1]]}', "gives no label for 11 of 12 images: a/03.png"),
        (json.dumps({"labels": [[f"{'abc'[k % 3]}/{k:02}.png", -1] for k in range(12)]}), r"has the label \[-1\]"),
    ],
)
def test_bad_json(folder, content, message):
    (folder / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        data.open_source("images", path=folder)


def test_bad_places_and_options(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("not a zip")
    for path, options, message in (
        (tmp_path / "none", {}, "does not exist; give a folder or a zip file"),
        (tmp_path / "empty", {}, "holds no images, only 0 other files"),
        (tmp_path / "text.zip", {}, "is no folder and no zip file"),
        (folder, {"size": 0}, "size = 0; allowed: a positive number"),
        (folder, {"labels": "json"}, "has no dataset.json"),
        (folder, {"test_fraction": 0.7}, "test_fraction = 0.7; allowed: 0"),
        (folder, {"channels": 2}, "channels = 2; allowed: 1"),
    ):
        with pytest.raises(ValueError, match=message):
            data.open_source("images", path=path, **options)


def test_height_comes_first(tmp_path):
    save(tmp_path / "wide.png", picture(0, 8, 10))
    source = data.open_source("images", path=tmp_path)
    assert source.shape == source[0]["data"].shape == (8, 10, 3)
