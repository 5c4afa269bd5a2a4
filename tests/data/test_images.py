"""Folders and zip files of images: pixels, crops, labels, and everything that can be wrong with them."""

import io
import json
import pickle
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from score_sde import data
from score_sde.data.captioned import captions_of
from score_sde.data.sources.files import Files
from score_sde.data.sources.resize import Fit
from tests.data.conftest import picture, save, which


def test_folder_in_the_order_of_names(folder):
    (folder / "notes.txt").write_text("not an image")
    (folder / "a" / ".hidden.png").write_bytes(b"")
    source = data.open_source("images", path=folder, test_fraction=0)
    assert (len(source), source.shape, source.levels, source.num_classes) == (12, (8, 8, 3), 256, 3)
    order = [k for label in range(3) for k in range(label, 12, 3)]
    for i, k in enumerate(order):
        np.testing.assert_array_equal(source[i]["data"], picture(k))
        assert source[i]["label"] == k % 3
    with pytest.raises(IndexError):
        source[12]


def test_zip_with_edm_labels(edm_zip):
    source = data.open_source("images", path=edm_zip, test_fraction=0)
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
    with pytest.raises(ValueError, match=r"needs the entry 'label' of an example, but .* has only 'data'"):
        data.training_batches(source, 4, entries=("label",))
    with pytest.raises(ValueError, match=r"labels = 'folders', but .* in no sub-folder"):
        data.open_source("images", path=folder, labels="folders")


def test_splits_are_sub_folders(tmp_path):
    for split, n in (("train", 3), ("test", 2)):
        for k in range(n):
            save(tmp_path / split / f"{k}.png", picture(k))
    assert len(data.open_source("images", path=tmp_path)) == 3
    assert len(data.open_source("images", "test", path=tmp_path)) == 2
    with pytest.raises(ValueError, match="has no split 'valid'; allowed: 'test', 'train'"):
        data.open_source("images", "valid", path=tmp_path)
    with pytest.raises(ValueError, match=r"test_fraction = 0.1, but .* has a folder \['test'\] of its own"):
        data.open_source("images", path=tmp_path, test_fraction=0.1)


@pytest.mark.parametrize("packed", [False, True])
def test_a_class_has_one_label_in_every_split(tmp_path, packed):
    """Also where a split lacks a class that comes before it, and where "test" is called "val"."""
    for split, kinds in (("train", "abc"), ("val", "c")):
        for k in range(6):
            save(tmp_path / "set" / split / kinds[k % len(kinds)] / f"{k}.png", picture(k))
    path = tmp_path / "set"
    if packed:
        path = zipped(path)
    train, test = (data.open_source("images", split, path=path) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 6)
    assert train.num_classes == test.num_classes == 3
    assert {test[i]["label"] for i in range(6)} == {2}
    assert [train[i]["label"] for i in range(6)] == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(test))[4]["data"], picture(4))


def test_a_class_that_cannot_be_learned(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/z"):
        save(tmp_path / name / "x.png", picture(0))
    with pytest.raises(ValueError, match="test has images of the class z, of which there are none to train with"):
        data.open_source("images", "test", path=tmp_path)


def zipped(folder) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("beside_train", [False, True])
@pytest.mark.parametrize(("fraction", "held_out"), [(None, [9]), (0.25, [3, 7, 11]), (0.01, [11])])
def test_held_out(folder, fraction, held_out, beside_train):
    if beside_train:
        (folder.parent / "whole").mkdir()
        folder = folder.rename(folder.parent / "whole" / "train").parent
    order = [k for label in range(3) for k in range(label, 12, 3)]
    train, test = (data.open_source("images", s, path=folder, test_fraction=fraction) for s in ("train", "test"))
    assert len(train) == 12 - len(held_out)
    np.testing.assert_array_equal(
        test.take(np.arange(len(test)))["data"], np.stack([picture(order[i]) for i in held_out])
    )
    kept = [order[i] for i in range(12) if i not in held_out]
    np.testing.assert_array_equal(train.take(np.arange(len(train)))["data"], np.stack([picture(k) for k in kept]))
    everything = data.open_source("images", path=folder, test_fraction=0)
    assert len(everything) == 12
    with pytest.raises(ValueError, match=r"no split 'test'; allowed: 'train'. Set test_fraction = 0.1"):
        data.open_source("images", "test", path=folder, test_fraction=0)


# A folder as people have them.


@pytest.mark.parametrize("packed", [False, True])
def test_any_folder_of_images(many_images, tmp_path, packed):
    """One call and one number: every image once, in one split, cropped to its middle, labelled by its folder."""
    path = many_images
    if packed:
        shutil.copytree(path, tmp_path / "photos")
        path = zipped(tmp_path / "photos")
    seen = {}
    for split, n in (("train", 270), ("test", 30)):
        source = data.open_source("images", split, path=path, size=32)
        assert (len(source), source.shape, source.levels, source.num_classes) == (n, (32, 32, 3), 256, 3)
        examples = source.take(np.arange(n))
        assert examples["data"].shape == (n, 32, 32, 3)
        numbers = [which(image) for image in examples["data"]]
        np.testing.assert_array_equal(examples["label"], np.array(numbers) % 3)
        seen[split] = set(numbers)
        assert set(examples["label"].tolist()) == {0, 1, 2}
    assert not seen["train"] & seen["test"]
    assert seen["train"] | seen["test"] == set(range(300))


def test_batches_of_any_folder(many_images):
    """An epoch covers the split; a flip mirrors an image and moves nothing else."""
    source = data.open_source("images", path=many_images, size=24, flippable=True)
    plain = {int(i): source[int(i)]["data"] for i in range(270)}
    mirrored = 0
    batches = iter(data.training_batches(source, 27, entries=("label",)))
    indices = []
    for _ in range(10):
        batch = next(batches)
        for index, image in zip(batch["index"].tolist(), batch["data"], strict=True):
            is_mirrored = not np.array_equal(image, plain[index])
            np.testing.assert_array_equal(image[:, ::-1] if is_mirrored else image, plain[index])
            mirrored += is_mirrored
        indices += batch["index"].tolist()
    batches.close()
    assert sorted(indices) == list(range(270))
    assert 100 < mirrored < 170


def test_resized_images_keep_their_proportions(tmp_path):
    """A disc stays a disc: with a size and no crop the largest central square is taken."""
    y, x = np.mgrid[:60, :100]
    disc = ((y - 29.5) ** 2 + (x - 49.5) ** 2 < 20**2)[..., None] * np.full(3, 255, np.uint8)
    save(tmp_path / "wide.png", disc.astype(np.uint8))
    small = data.open_source("images", path=tmp_path, size=30, test_fraction=0)[0]["data"] > 127
    np.testing.assert_array_equal(small, small.transpose(1, 0, 2))
    assert abs(small[..., 0].sum() - np.pi * 10**2) < 10


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (1, 50), (400, 5)])
def test_tiny_and_narrow_images(tmp_path, height, width):
    save(tmp_path / "a.png", np.full((height, width, 3), 77, np.uint8))
    enlarged = data.open_source("images", path=tmp_path, size=16, test_fraction=0)[0]["data"]
    np.testing.assert_array_equal(enlarged, np.full((16, 16, 3), 77))
    with pytest.raises(ValueError, match=rf"a.png is {width} x {height} pixels, too small for crop = 8; crop less"):
        data.open_source("images", path=tmp_path, crop=8, size=16, test_fraction=0)


def test_opening_reads_headers_only_and_with_a_size_one_of_them(many_images, monkeypatch):
    read = Counter()

    def counted(path):
        content = path.read_bytes()

        class Counting(io.BytesIO):
            def read(self, n=-1):
                found = super().read(n)
                read[path] += len(found)
                return found

        return Counting(content)

    monkeypatch.setattr(Files, "open", lambda files, name: counted(files.path / name))
    monkeypatch.setattr(Files, "read", lambda files, name: pytest.fail("nothing is decoded"))
    data.open_source("images", path=many_images, size=32)
    assert len(read) == 1
    with pytest.raises(ValueError, match=r"different sizes: .*\(of \d\d\d sizes\)"):
        data.open_source("images", path=many_images)
    assert len(read) == 300


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
        ValueError, match=r"different sizes: a.png gives 10 x 8, b.png gives 8 x 12 .* Set size = 64, for example"
    ):
        data.open_source("images", path=tmp_path)
    assert data.open_source("images", path=tmp_path, crop="square").shape == (8, 8, 3)
    small = data.open_source("images", path=tmp_path, size=4, test_fraction=0)
    assert small.shape == small[1]["data"].shape == (4, 4, 3)
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
    source = data.open_source("images", path=folder, test_fraction=0)
    with pytest.raises(ValueError, match=r"b/01.png cannot be read .* on_corrupt = 'skip'"):
        source.take(np.arange(len(source)))
    (folder / "c" / "02.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 of 11 images cannot be read and are left out: b/01.png, c/02.png"):
        source = data.open_source("images", path=folder, on_corrupt="skip", test_fraction=0)
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
        assert len(data.open_source("images", path=broken, on_corrupt="skip", test_fraction=0)) == 8


def test_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep.png has mode I;16; allowed: 8 bits a channel"):
        data.open_source("images", path=tmp_path, test_fraction=0)[0]


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
        (tmp_path / "none", {}, r"does not exist; give a folder or a zip file of images. There is no 'none' in"),
        (tmp_path / "phtos" / "a", {}, r"There is no 'phtos' in .*; did you mean 'photos'\?"),
        ("", {}, "path is empty; give the folder or the zip file"),
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
    source = data.open_source("images", path=tmp_path, test_fraction=0)
    assert source.shape == source[0]["data"].shape == (8, 10, 3)


def test_captions_are_texts_beside_the_images(folder):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    for i, name in enumerate(names[:-1]):
        (folder / name).with_suffix(".txt").write_text(f"picture {i}\nand more\n")
    with pytest.warns(UserWarning, match=f"1 of 12 images have no caption.*{names[-1]}"):
        train = data.open_source("images", "train", path=folder, test_fraction=0.25, captions=True)
    assert train.entries == ("label", "caption")
    with pytest.warns(UserWarning, match="have no caption"):
        whole = data.open_source("images", path=folder, test_fraction=0, captions=True)
    assert [str(c) for c in whole.take(np.arange(12))["caption"]] == [f"picture {i}" for i in range(11)] + [""]
    assert captions_of(train, "caption") == [str(example) for example in train.take(np.arange(len(train)))["caption"]]
    (folder / names[0]).with_suffix(".txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match="is no text in UTF-8"):
        data.open_source("images", path=folder, captions=True)
    assert data.open_source("images", path=folder).entries == ("label",)
