"""Digits, toys, arrays and IDX files: what they hold, and what they say when something is wrong."""

import gzip
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde import data
from score_sde.data.sources import constructor
from score_sde.data.sources.idx import DEBIAN
from tests.data.conftest import picture


def test_every_name_leads_to_a_function():
    assert all(callable(constructor(name)) for name in data.SOURCES)


def test_package_is_light():
    heavy = ["grain", "tensorflow", "tensorflow_datasets", "PIL", "matplotlib"]
    program = (
        f"import sys, score_sde.data as d; d.open_source('digits'); print(*[m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_digits_are_all_there_and_split_fairly():
    train, test = data.open_source("digits"), data.open_source("digits", "test")
    assert len(train) + len(test) == 1797
    assert (train.shape, train.levels, train.num_classes) == ((8, 8, 1), 17, 10)
    whole = np.concatenate([train.data, test.data])
    assert (whole.min(), whole.max()) == (0, 16)
    assert whole.astype(int).sum() == 561718  # of sklearn.datasets.load_digits
    both = np.bincount(train.labels) + np.bincount(test.labels)
    np.testing.assert_array_equal(both, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    np.testing.assert_array_equal(np.bincount(test.labels), both // 5)
    shared = {x.tobytes() for x in train.data} & {x.tobytes() for x in test.data}
    assert not shared


@pytest.mark.parametrize("name", ["moons", "checkerboard", "swiss_roll", "mixture"])
def test_toys(name):
    train, test, again = (data.open_source(name, split, size=500) for split in ("train", "test", "train"))
    assert train.shape == (2,)
    assert train.levels is None
    np.testing.assert_array_equal(train.data, again.data)
    assert not np.isin(train.data, test.data).any()


def test_mixture_is_labelled_by_component():
    source = data.open_source("mixture", size=2000, means=[[-5.0], [0.0], [5.0]], stds=[0.1, 0.2, 0.3])
    examples = source.take(np.arange(2000))
    np.testing.assert_array_equal(np.round(examples["data"][:, 0] / 5) + 1, examples["label"])
    assert source.num_classes == 3


def ring(key, n):
    angle = 2 * np.pi * jax.random.uniform(key, (n, 1))
    return jax.numpy.concatenate([jax.numpy.cos(angle), jax.numpy.sin(angle)], axis=1)


def test_samples_of_anything():
    by_path = data.open_source("samples", distribution="tests.data.test_sources:ring", size=50)
    np.testing.assert_allclose(np.linalg.norm(by_path.data, axis=1), 1, rtol=1e-6)
    gaussian = data.open_source("samples", distribution=ss.analytic.Gaussian(np.zeros(3), np.eye(3)), size=50)
    assert gaussian.shape == (3,)


def own(split, n=3):
    return data.ArraySource("own", np.zeros((n, 2), np.float32))


def test_a_source_of_your_own_by_import_path():
    assert len(data.open_source("tests.data.test_sources:own", n=4)) == 4


def no_source(split):
    return [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("digit", ValueError, "there is no source, file or folder 'digit'; did you mean 'digits'?"),
        ("no.such:thing", ValueError, "cannot be imported: No module named 'no'"),
        ("tests.data.test_sources:nothing", ValueError, "test_sources has no 'nothing'"),
        ("tests", ValueError, "'tests' is a folder, not a kind of source: set the name of the source to 'images' and"),
        ("README.md", ValueError, "'README.md' is a file, not a kind of source"),
        ("/no/such/photos", ValueError, "there is no source, file or folder '/no/such/photos'"),
        ("tests.data.test_sources:no_source", TypeError, "which is no source: it lacks name, shape"),
    ],
)
def test_bad_names(name, error, message):
    with pytest.raises(error, match=message.replace("?", r"\?")):
        data.open_source(name)


@pytest.mark.parametrize("name", ["digits", "moons", "mixture"])
def test_split_that_does_not_exist(name):
    with pytest.raises(ValueError, match=f"{name} has no split 'valid'; allowed: 'train', 'test'"):
        data.open_source(name, "valid")


# Arrays.


def test_npz(npz):
    source = data.open_source("arrays", path=npz)
    assert (source.shape, source.levels, source.num_classes) == ((8, 8, 1), 256, 3)
    np.testing.assert_array_equal(source[7]["data"], picture(7)[..., :1])
    assert source[7]["label"] == 1


def test_other_arrays_of_an_npz_are_entries(tmp_path):
    """Those with a row for each example, and only if they hold numbers or strings."""
    n, image = 6, np.stack([picture(k) for k in range(6)])
    np.savez(
        tmp_path / "s.npz",
        data=image,
        mask=image[..., 0] > 99,
        wide=np.arange(n) * 1000,
        deep=np.linspace(0, 1, n),
        names=np.array(list("abcdef")),
        objects=np.array([{}] * n, object),
        index=np.arange(n),
        mean=np.zeros(3),
        scalar=np.array(6),
    )
    source = data.open_source("arrays", path=tmp_path / "s.npz")
    assert source.entries == ("mask", "wide", "deep", "names")
    examples = source.take(np.array([4, 1]))
    np.testing.assert_array_equal(examples["mask"], examples["data"][..., 0] > 99)
    np.testing.assert_array_equal(examples["wide"], np.int32([4000, 1000]))
    assert {name: column.dtype for name, column in examples.items()} == {
        "data": np.uint8,
        "mask": np.bool_,
        "wide": np.int32,
        "deep": np.float32,
        "names": np.dtype("<U1"),
    }
    assert data.Subset(source, np.arange(2)).entries == data.in_memory(source).entries == source.entries
    test = data.open_source("arrays", "test", path=tmp_path / "s.npz", test_fraction=0.5)
    np.testing.assert_array_equal(test.take(np.arange(3))["wide"], [1000, 3000, 5000])


def test_other_arrays_belong_to_their_split(tmp_path):
    columns = {f"{split}_{name}": np.full((n, 2), n) * 1.0 for split, n in SPLITS for name in ("data", "mask")}
    np.savez(tmp_path / "s.npz", **columns, extra=np.zeros(3))
    for split, n in SPLITS:
        source = data.open_source("arrays", split, path=tmp_path / "s.npz")
        assert source.entries == ("mask",)
        np.testing.assert_array_equal(source[n - 1]["mask"], [n, n])


SPLITS = (("train", 3), ("train_more", 4), ("test", 2))


def test_entries_are_named_without_reading(any_source):
    """Each source says what its examples have; so a config can be checked before anything is decoded."""
    assert {"data", *data.entries_of(any_source)} == set(any_source[0])
    for fact in (any_source.name, any_source.shape, any_source.flippable):
        assert fact is not None


def test_npz_with_splits(tmp_path):
    np.savez(tmp_path / "s.npz", train_data=np.zeros((3, 2)), test_data=np.ones((2, 2)), test_label=np.array([0, 1]))
    test = data.open_source("arrays", "test", path=tmp_path / "s.npz")
    assert test.data.dtype == np.float32
    assert test.data.min() == 1
    assert test.num_classes == 2
    assert data.open_source("arrays", path=tmp_path / "s.npz").num_classes is None
    with pytest.raises(ValueError, match="has no split 'valid'; allowed: 'test', 'train'"):
        data.open_source("arrays", "valid", path=tmp_path / "s.npz")


def test_npy_is_mapped_and_goes_to_workers_by_name(npy):
    source = data.open_source("arrays", path=npy)
    assert isinstance(source.data, np.memmap)
    packed = pickle.dumps(source)
    assert len(packed) < 1000
    np.testing.assert_array_equal(pickle.loads(packed)[7]["data"], picture(7))
    np.save(npy, np.stack([picture(k)[..., 0] for k in range(10)]))
    grey = pickle.loads(pickle.dumps(data.open_source("arrays", path=npy, levels=256)))
    np.testing.assert_array_equal(grey[7]["data"], picture(7)[..., :1])


def test_held_out_examples_are_apart(npy):
    train, test = (data.open_source("arrays", split, path=npy, test_fraction=0.2) for split in ("train", "test"))
    assert (len(train), len(test)) == (8, 2)
    examples = [source[i]["data"].tobytes() for source in (train, test) for i in range(len(source))]
    assert set(examples) == {picture(k).tobytes() for k in range(10)}
    with pytest.raises(ValueError, match=r"has no split 'test'; allowed: 'train'. Set test_fraction"):
        data.open_source("arrays", "test", path=npy)


def write(path, content) -> str:
    np.savez(path, **content) if path.suffix == ".npz" else np.save(path, content)
    return str(path)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.npy", np.zeros((0, 2)), {}, "is empty"),
        ("a.npy", np.zeros((2, 4, 4), int), {}, "holds int64; allowed: uint8 for images, floats"),
        ("a.npy", np.full((2, 4, 4), 20, np.uint8), {"levels": 300}, ""),
        ("a.npz", {"data": np.full((2, 4, 4), 20, np.uint8)}, {"levels": 17}, "level 20; levels = 17 allow 0 to 16"),
        ("a.npz", {"data": np.array([[np.nan, 1.0]])}, {}, "holds 1 numbers that are NaN"),
        ("a.npz", {"data": np.zeros((2, 2))}, {"levels": 256}, "levels = 256, but float64 data are continuous"),
        ("a.npz", {"x": np.zeros((2, 2))}, {}, "has no array 'data'; it has x. Set data_key"),
        ("a.npz", {"data": np.zeros((2, 2)), "label": np.zeros(3, int)}, {}, "has 2 examples, but 3 labels"),
        ("a.npz", {"data": np.zeros((2, 2)), "label": np.zeros(2)}, {}, "labels must be integers"),
        ("a.npz", {"data": np.zeros((2, 2)), "label": np.array([0, 5])}, {"num_classes": 3}, "labels from 0 to 5"),
        ("a.npz", {"data": np.array([{}])}, {}, "cannot be read: Object arrays cannot be loaded"),
        (
            "a.npz",
            {"data": np.zeros((2, 2)), "m": np.array([0, 2**40])},
            {},
            "'m' holds integers from 0 to 1099511627776",
        ),
    ],
)
def test_bad_arrays(tmp_path, name, content, options, message):
    path = write(tmp_path / name, content)
    if message:
        with pytest.raises(ValueError, match=message):
            data.open_source("arrays", path=path, **options)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"m": np.zeros(3)}, r"a has 2 examples, but 'm' has shape \(3,\); allowed: \(2, ...\)"),
        ({"label": np.zeros(2)}, "an entry cannot be named 'label'"),
        ({"position": np.zeros(2)}, "an entry cannot be named 'position'"),
        ({"m": np.array([1j, 2j])}, "'m' holds complex128; allowed: bools, integers, floats, and strings for captions"),
    ],
)
def test_bad_entries(others, message):
    with pytest.raises(ValueError, match=message):
        data.ArraySource("a", np.zeros((2, 1), np.float32), others=others)


def test_examples_of_different_shapes():
    class Ragged(data.Source):
        name, shape, levels = "ragged", (1,), None

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"data": np.zeros(1, np.float32), "mask": np.zeros(index + 1)}

    with pytest.raises(
        ValueError, match=r"the entry 'mask' has other shapes in other examples: \(1,\), \(2,\), \(3,\)"
    ):
        Ragged().take(np.arange(3))


def test_bad_array_files(tmp_path):
    (tmp_path / "broken.npy").write_bytes(b"nonsense")
    (tmp_path / "text.txt").write_text("nonsense")
    for name, message in (
        ("none.npz", "does not exist"),
        ("broken.npy", "broken.npy cannot be read"),
        ("text.txt", "ends with '.txt'; allowed: .npy, .npz"),
    ):
        with pytest.raises(ValueError, match=message):
            data.open_source("arrays", path=tmp_path / name)


# IDX.


@pytest.mark.parametrize(("split", "n"), [("train", 6), ("test", 4)])
def test_idx_plain_and_packed(idx_folder, split, n):
    source = data.open_source("idx", split, path=idx_folder)
    assert len(source) == n
    np.testing.assert_array_equal(source[3]["data"], picture(3)[..., :1])
    assert source[3]["label"] == 3
    padded = data.open_source("idx", split, path=idx_folder, pad=2)
    np.testing.assert_array_equal(padded.data[:, 2:-2, 2:-2], source.data)
    assert padded.data.sum() == source.data.sum()


def test_fashion_mnist_of_debian():
    if not DEBIAN.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not on this machine")
    test = data.open_source("fashion_mnist", "test")
    assert (len(test), test.shape, test.num_classes) == (10_000, (28, 28, 1), 10)
    np.testing.assert_array_equal(np.bincount(test.labels), np.full(10, 1000))


def test_bad_idx(idx_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        data.open_source("fashion_mnist", path=tmp_path / "nowhere")
    images = idx_folder / "train-images-idx3-ubyte"
    content = images.read_bytes()
    for broken, message in ((content[:-5], "should hold 6 x 8 x 8 bytes"), (b"PK" + content, "is no IDX file")):
        images.write_bytes(broken)
        with pytest.raises(ValueError, match=message):
            data.open_source("idx", path=idx_folder)
    packed = idx_folder / "t10k-images-idx3-ubyte.gz"
    packed.write_bytes(gzip.compress(content)[:-20])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        data.open_source("idx", "test", path=idx_folder)


def test_in_memory_is_the_same(any_source):
    copy = data.in_memory(any_source)
    indices = np.arange(len(any_source))[::-1]
    expected = any_source.take(indices)
    for key, column in copy.take(indices).items():
        np.testing.assert_array_equal(column, expected[key])
    assert (copy.shape, copy.levels, copy.num_classes) == (any_source.shape, any_source.levels, any_source.num_classes)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_large_array_of_a_npz_is_mapped_where_it_is_not_compressed(tmp_path, monkeypatch, save):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 3, 1)).astype(np.uint8)
    save(tmp_path / "a.npz", other=np.arange(3), arr_0=images)
    monkeypatch.setattr("score_sde.data.sources.arrays.LARGE", 100)
    source = data.open_source("arrays", path=tmp_path / "a.npz", data_key="arr_0")
    assert isinstance(source.data, np.memmap) == (save is np.savez)
    np.testing.assert_array_equal(source.take(np.array([3, 19]))["data"], images[[3, 19]])
