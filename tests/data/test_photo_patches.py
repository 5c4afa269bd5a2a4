"""Patches of photographs: where they are cut, which are left out, and that a photo is in one split alone."""

import hashlib
import re

import numpy as np
import pytest
from PIL import Image

from score_sde import data
from score_sde.data.sources import photo_patches as module
from score_sde.data.sources.photo_patches import Photo, contrast, cut_patches, patches_of, read_photos, reduced
from tests.data.conftest import picture, save

EMBEDDED = module.resources.files("score_sde.data") / "embedded" / "photos.csv"


def photo(root, name: str, pixels: np.ndarray, split: str = "train", package: str = "pictures") -> Photo:
    """Write a photo and describe it as the table does."""
    save(root / name, pixels)
    digest = hashlib.sha256((root / name).read_bytes()).hexdigest()[:16]
    return Photo(package, "1.0", name, "somebody", "CC0 1.0", split, digest)


@pytest.fixture
def photos(tmp_path):
    """Four photos of 16 x 24 pixels with 6 patches of 8 each, every third one "test"."""
    return [photo(tmp_path, f"{k}.png", picture(k, 16, 24), "test" if k == 2 else "train") for k in range(4)]


def test_patches_lie_side_by_side_in_rows(tmp_path):
    pixels = picture(0, 19, 30)  # 3 rows and 6 columns are left over
    source = patches_of([photo(tmp_path, "a.png", pixels)], tmp_path, "train", size=8)
    corners = [(top, left) for top in (0, 8) for left in (0, 8, 16)]
    expected = [pixels[top : top + 8, left : left + 8] for top, left in corners]
    np.testing.assert_array_equal(source.data, expected)
    assert (source.levels, source.num_classes, source.flippable) == (256, None, True)


def test_photos_follow_each_other_as_in_the_table(tmp_path, photos):
    there = patches_of(photos, tmp_path, "train", size=8)
    back = patches_of(photos[::-1], tmp_path, "train", size=8)
    assert len(there) == 3 * 6
    np.testing.assert_array_equal(there.data.reshape(3, 6, 8, 8, 3)[::-1], back.data.reshape(3, 6, 8, 8, 3))


def test_every_photo_is_in_one_split(tmp_path, photos):
    train, test = (patches_of(photos, tmp_path, split, size=8) for split in ("train", "test"))
    np.testing.assert_array_equal(test.data, cut_patches(Image.fromarray(picture(2, 16, 24)), 8))
    both = {patch.tobytes() for source in (train, test) for patch in source.data}
    assert len(both) == len(train) + len(test) == 4 * 6


def test_flat_patches_are_left_out(tmp_path):
    """A saturated colour is flat, although its channels differ; of steps of 16 and 18 only the second is above 8."""
    pixels = np.zeros((8, 32, 3), np.uint8)
    pixels[:, :8] = (255, 120, 0)
    pixels[:, 8:12] += 16
    pixels[:, 16:20] += 18
    pixels[:, 24:28, 0] += 30  # in one colour of three: 15 / sqrt(3) = 8.66
    np.testing.assert_allclose(contrast(cut_patches(Image.fromarray(pixels), 8)), [0, 8, 9, 8.66], atol=2e-3)
    source = patches_of([photo(tmp_path, "a.png", pixels)], tmp_path, "train", size=8)
    np.testing.assert_array_equal(source.data, [pixels[:, 16:24], pixels[:, 24:]])


def test_large_photos_are_reduced_and_small_ones_are_not(tmp_path):
    """A wave of 60 pixels keeps its place and height: it is now one of 24 pixels."""
    at = np.arange(600) + 0.5
    wave = np.rint(128 + 100 * np.sin(2 * np.pi * at / 60)).astype(np.uint8)
    pixels = np.broadcast_to(wave[None, :, None], (300, 600, 3)).copy()
    small = np.asarray(reduced(Image.fromarray(pixels), 240))
    assert small.shape == (120, 240, 3)
    expected = 128 + 100 * np.sin(2 * np.pi * (np.arange(240) + 0.5) / 24)
    np.testing.assert_allclose(small[60, 12:-12, 1], expected[12:-12], atol=2)
    source = patches_of([photo(tmp_path, "a.png", pixels)], tmp_path, "train", size=24, longest=240)
    assert len(source) == 5 * 10
    assert reduced(Image.fromarray(pixels), 600).size == reduced(Image.fromarray(pixels), 9000).size == (600, 300)


def test_photos_are_turned_upright(tmp_path):
    pixels = picture(0, 8, 16)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    source = patches_of([Photo("p", "1", "a.png", "", "", "train", "")], tmp_path, "train", size=8)
    np.testing.assert_array_equal(np.concatenate(source.data), np.rot90(pixels, -1))


# The table.


def test_the_embedded_table():
    with module.resources.as_file(EMBEDDED) as path:
        photos = read_photos(path)
    assert len(photos) == len({photo.file for photo in photos}) == len({photo.sha256 for photo in photos}) == 110
    assert sum(photo.split == "test" for photo in photos) == 11
    assert {photo.licence for photo in photos} == {"public domain", "CC0 1.0", "CC BY 4.0"}
    assert all(photo.author for photo in photos)
    # Other views of the same places.
    for alike in (("fog4", "sky0"), ("station1", "station4"), ("space1", "station3"), ("loc6", "loc7")):
        stems = [f"/{name}{end}" for name in alike for end in (".jpg", "@2x.jpg")]
        assert {photo.split for photo in photos if photo.file.endswith(tuple(stems))} == {"train"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b"], "should begin with the line 'package,version,file,author,licence,split,sha256'.* the first 'a,b'"),
        ([",".join(Photo._fields), "p,1,a.jpg,x,CC0"], "row 2 has 5 entries; allowed: 7, package, version"),
        ([",".join(Photo._fields), "p,1,a.jpg,x,CC0,valid,"], "row 2 has split = 'valid'; allowed: train, test"),
        (
            [",".join(Photo._fields), "p,1,a.jpg,x,CC0,train,", "p,1,a.jpg,x,CC0,test,"],
            "row 3 repeats a.jpg, which is 'train' already; remove one",
        ),
    ],
)
def test_bad_tables(tmp_path, lines, message):
    (tmp_path / "photos.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        read_photos(tmp_path / "photos.csv")


# What it says.


def test_missing_packages_are_named_with_the_commands(tmp_path):
    names = "endless-sky-data endless-sky-high-dpi lomiri-wallpapers-16.04"
    unpack = re.escape('for deb in *.deb; do dpkg-deb -x "$deb" .; done')
    commands = f"apt-get install {names}; or, .* apt-get download {names} && {unpack}"
    with pytest.raises(FileNotFoundError, match=rf"93 of the 93 of endless-sky-high-dpi 0.9.8-1, .*: {commands}"):
        data.open_source("photo_patches", "test", path=tmp_path)


def test_a_photo_that_is_missing_is_refused_in_either_split(tmp_path, photos):
    (tmp_path / "1.png").unlink()
    others = [photo(tmp_path, "b.png", picture(9, 16, 24), package="others")]
    for split in ("train", "test"):
        with pytest.raises(FileNotFoundError, match=r"1 of the 4 of pictures 1.0 \(1.png\)\. Get them with"):
            patches_of(photos + others, tmp_path, split, size=8)


def test_damaged_photos(tmp_path, photos):
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(whole[:-40])
    with pytest.raises(
        ValueError, match=r"0.png is damaged, or not the one of pictures version 1.0: its SHA-256 begins"
    ):
        patches_of(photos, tmp_path, "train", size=8)
    unchecked = [photos[0]._replace(sha256="")]
    with pytest.raises(
        ValueError, match=r"0.png of pictures cannot be read .* Get them with: apt-get install pictures"
    ):
        patches_of(unchecked, tmp_path, "train", size=8)
    assert len(patches_of(photos, tmp_path, "test", size=8)) == 6  # the other split is whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, "photo_patches has no split 'valid'; allowed: 'train', 'test'"),
        ({"size": 0}, "size = 0; allowed: 1 to longest = 1024 pixels"),
        ({"size": 32, "longest": 16}, "size = 32; allowed: 1 to longest = 16 pixels"),
        ({"longest": 0}, "longest = 0; allowed: a positive number"),
        ({"flat": 255.0}, "flat = 255.0; allowed: 0"),
        ({"flat": 200.0}, "no patch of 'train' is left with size = 8, longest = 1024, flat = 200"),
        ({"root": "nowhere"}, "path = '.*nowhere' is no folder; allowed: '/' or where"),
    ],
)
def test_bad_options(tmp_path, photos, options, message):
    options = {"split": "train", "size": 8} | options
    root = tmp_path / options.pop("root", "")
    with pytest.raises(ValueError, match=message):
        patches_of(photos, root, **options)
