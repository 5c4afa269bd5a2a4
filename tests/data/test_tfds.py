"""Sets of TensorFlow Datasets, mocked: all of this runs without TensorFlow."""

import sys

import numpy as np
import pytest
from PIL import Image

from score_sde import data
from score_sde.data.sources.resize import Fit
from score_sde.data.sources.tfds import TFDSSource

tfds = pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def mocked():
    with tfds.testing.mock_data(num_examples=6):
        yield


@pytest.mark.parametrize(
    ("name", "shape", "classes", "flippable"),
    [
        ("cifar10", (32, 32, 3), 10, True),
        ("svhn", (32, 32, 3), 10, False),
        ("celeba", (64, 64, 3), None, True),
        ("celebahq", (256, 256, 3), None, True),
        ("lsun", (256, 256, 3), None, True),
    ],
)
def test_sets_of_the_paper(mocked, name, shape, classes, flippable):
    source = data.open_source(name)
    assert (source.shape, source.num_classes, source.flippable, source.levels) == (shape, classes, flippable, 256)
    examples = source.take(np.arange(2))
    assert examples["data"].shape == (2, *shape)
    assert examples["data"].dtype == np.uint8
    assert ("label" in examples) == (classes is not None)
    assert "tensorflow" not in sys.modules


def test_any_set_by_name(mocked):
    source = data.open_source("tfds", dataset="mnist")
    assert (source.shape, source.num_classes) == ((28, 28, 1), 10)
    record = source.records[3]
    np.testing.assert_array_equal(source[3]["data"], record["image"])
    assert source[3]["label"] == record["label"]


def test_celeba_is_cropped_as_in_the_paper(mocked):
    source = data.open_source("celeba", size=140)  # no resize: the pixels are known
    np.testing.assert_array_equal(source[2]["data"], source.records[2]["image"][39:179, 19:159])
    small = data.open_source("celeba")
    expected = Image.fromarray(small.records[2]["image"][39:179, 19:159]).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(small[2]["data"], np.asarray(expected))


class Records(list):
    def __getitems__(self, indices):
        return [self[i] for i in indices]


def test_images_of_another_size_are_named():
    records = Records([{"image": np.zeros((8, 8, 3), np.uint8)}, {"image": np.zeros((9, 8, 3), np.uint8)}])
    source = TFDSSource("mixed", records, Fit(), "image", None, (8, 8, 3), None, False)
    with pytest.raises(ValueError, match=r"tfds mixed holds images of different sizes, \(9, 8, 3\) and \(8, 8, 3\)"):
        source.take(np.arange(2))


def test_what_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Prepare it with: score_sde data prepare cifar10 --data_dir="):
        data.open_source("cifar10", data_dir=tmp_path)
    with pytest.raises(ValueError, match="TFDS has no set 'cifar11'"):
        data.open_source("tfds", dataset="cifar11")
    with pytest.raises(ValueError, match="has no feature 'img'; it has id, image, label: set image_key"):
        data.open_source("tfds", dataset="cifar10", image_key="img")
