"""Statistics do not depend on how the data were cut into batches; files say what they are; others' files are read."""

import json
import pickle

import jax
import numpy as np
import pytest

from score_sde.data import ArraySource, DataScaling
from score_sde.evaluation import FeatureStatistics, Statistics, Subject, examples, statistics_of
from score_sde.evaluation.features import pixels
from score_sde.evaluation.one_pass import final_state
from score_sde.evaluation.statistics import check_comparable, read, write
from score_sde.evaluation.statistics.files import is_statistics

DRAW = np.random.default_rng(0)
IMAGES = DRAW.integers(0, 256, (37, 4, 4, 1)).astype(np.uint8)
SOURCE = ArraySource("squares", IMAGES, np.arange(37) % 3, levels=256)
FLAT = np.asarray(pixels()(IMAGES))  # IMAGES/255, in float32


def collect(source=SOURCE, batch_size=8, keep=10, **options):
    return statistics_of(source, pixels(), keep=keep, batch_size=batch_size, progress=False, **options)


def test_moments_are_those_of_all_examples_and_the_subset_is_one_of_them():
    found = collect()
    np.testing.assert_allclose(FLAT, IMAGES.reshape(37, 16) / 255, rtol=1e-6)
    exact = FLAT.astype(np.float64)
    assert found.n == 37
    np.testing.assert_allclose(found.moments.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.moments.covariance, np.cov(exact.T), rtol=1e-10, atol=1e-14)
    assert len(set(found.index.tolist())) == 10
    np.testing.assert_array_equal(found.kept, FLAT[found.index])
    np.testing.assert_array_equal(found.label, found.index % 3)
    assert not found.all_kept


@pytest.mark.parametrize("batch_size", [1, 5, 37, 100])
def test_batches_change_nothing(batch_size):
    one, other = collect(batch_size=batch_size), collect(batch_size=8)
    np.testing.assert_allclose(one.moments.mean, other.moments.mean, rtol=1e-12)
    np.testing.assert_allclose(one.moments.scatter, other.moments.scatter, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(one.kept, other.kept)
    assert one.about == other.about


def test_the_order_changes_the_subset_alone():
    order = np.random.default_rng(1).permutation(37)
    one, other = collect(), collect(ArraySource("squares", IMAGES[order], levels=256))
    np.testing.assert_allclose(one.moments.scatter, other.moments.scatter, rtol=1e-12, atol=1e-12)
    assert one.about["data_hash"] == other.about["data_hash"]
    changed = IMAGES.copy()
    changed[3, 0, 0, 0] ^= 1
    assert collect(ArraySource("squares", changed, levels=256)).about["data_hash"] != one.about["data_hash"]


def test_a_large_mean_takes_no_digits():
    features = np.float32(100) + FLAT
    found = Statistics.of(features)
    exact = np.cov(features.astype(np.float64).T)
    np.testing.assert_allclose(found.moments.covariance, exact, rtol=1e-11, atol=1e-13)


def test_levels_fill_the_range_of_bytes():
    """The digits' 0 to 16 become 0 to 255; they are pixels from 0 to 1."""
    few = ArraySource("few", (IMAGES // 16).astype(np.uint8), levels=17)
    found = collect(few, keep=37)
    wanted = np.round((IMAGES // 16)[found.index].reshape(37, 16) * (255 / 16)) / 255
    np.testing.assert_allclose(found.kept, wanted, rtol=1e-6)


def test_an_interrupted_pass_resumes(tmp_path):
    file, evaluator, key = tmp_path / "part.npz", FeatureStatistics(pixels(), 10), jax.random.key(0)
    subject = Subject(None, DataScaling(levels=256))

    def broken(take):
        def stopped(indices):
            if indices[0] >= 16:
                raise KeyboardInterrupt
            return take(indices)

        return stopped

    interrupted = ArraySource("squares", IMAGES, np.arange(37) % 3, levels=256)
    object.__setattr__(interrupted, "take", broken(interrupted.take))
    with pytest.raises(KeyboardInterrupt):
        final_state(subject, evaluator, examples(interrupted, 8), key, file, progress=False)
    done = int(np.load(file)["done"])
    assert done in (8, 16)  # every batch is saved, unless saving takes longer than a twentieth of the time
    seen = []
    counted = ArraySource("squares", IMAGES, np.arange(37) % 3, levels=256)
    take = counted.take
    object.__setattr__(counted, "take", lambda indices: (seen.append(indices[0]), take(indices))[1])
    state = final_state(subject, evaluator, examples(counted, 8), key, file, progress=False)
    assert seen == list(range(done, 37, 8))
    whole = final_state(subject, evaluator, examples(SOURCE, 8), key, progress=False)
    for name in ("mean", "scatter", "kept", "hash"):
        np.testing.assert_array_equal(state[name], whole[name])


class TestFiles:
    def test_ours(self, tmp_path):
        found = collect(file=tmp_path / "squares.npz")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["squares.npz"]
        again = read(tmp_path / "squares.npz")
        np.testing.assert_array_equal(again.moments.scatter, found.moments.scatter)
        np.testing.assert_array_equal(again.kept, found.kept)
        assert again.about == found.about
        assert set(again.about) >= {"features", "weights", "resize", "quantise", "data", "data_hash", "n"}
        assert is_statistics(tmp_path / "squares.npz")

    def test_pytorch_fid_and_edm(self, tmp_path):
        found = collect()
        write(tmp_path / "fid.npz", found, "pytorch-fid")
        with np.load(tmp_path / "fid.npz") as arrays:
            np.testing.assert_allclose(arrays["sigma"], np.cov(FLAT.astype(np.float64).T), rtol=1e-10, atol=1e-14)
        again = read(tmp_path / "fid.npz")
        np.testing.assert_allclose(again.moments.covariance, found.moments.covariance, rtol=1e-12)
        with pytest.raises(ValueError, match=r"fid.npz holds a mean and a covariance, but no features"):
            _ = again.features

    def test_adm(self, tmp_path):
        mu, sigma = np.zeros(3), np.eye(3)
        images = np.zeros((1, 2, 2, 3), np.uint8)
        np.savez(tmp_path / "adm.npz", arr_0=images, mu=mu, sigma=sigma, mu_s=np.ones(2), sigma_s=2 * np.eye(2))
        assert len(read(tmp_path / "adm.npz").moments.mean) == 3
        np.testing.assert_allclose(read(f"{tmp_path}/adm.npz:spatial").moments.covariance, 2 * np.eye(2), rtol=1e-12)
        with pytest.raises(ValueError, match=r"adm.npz holds a single set of statistics, and no 'fid'"):
            read(f"{tmp_path}/adm.npz:fid")

    def test_edm2(self, tmp_path):
        content = {name: {"mu": np.full(d, 2.0), "sigma": np.eye(d)} for name, d in (("fid", 3), ("fd_dinov2", 5))}
        (tmp_path / "edm2.pkl").write_bytes(pickle.dumps(content))
        assert len(read(f"{tmp_path}/edm2.pkl:fd_dinov2").moments.mean) == 5
        with pytest.raises(ValueError, match=r"several statistics; give one of edm2.pkl:fid, edm2.pkl:fd_dinov2"):
            read(tmp_path / "edm2.pkl")
        with pytest.raises(ValueError, match=r"several statistics, but no 'kid'; give one of edm2.pkl:fid"):
            read(f"{tmp_path}/edm2.pkl:kid")
        assert is_statistics(f"{tmp_path}/edm2.pkl:fid")

    def test_a_pickle_that_would_execute_code_is_refused(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return print, ("executed",)

        (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"fid": Evil()}))
        with pytest.raises(ValueError, match=r"evil.pkl cannot be read as statistics: it refers to builtins.print"):
            read(tmp_path / "evil.pkl")

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"data": np.zeros(3)}, "it has no mu and no sigma, only data"),
            ({"mu": np.zeros(3), "sigma": np.eye(2)}, r"sigma \(2, 2\); allowed: \(d,\) and \(d, d\)"),
            ({"mu": np.full(2, np.nan), "sigma": np.eye(2)}, "NaN"),
        ],
    )
    def test_what_is_no_statistics(self, tmp_path, arrays, words):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=f"a.npz.*{words}"):
            read(tmp_path / "a.npz")

    def test_a_broken_file(self, tmp_path):
        (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(ValueError, match=r"a\.npz cannot be read as statistics"):
            read(tmp_path / "a.npz")


class TestBadInput:
    def test_other_features_or_another_resize(self):
        one = Statistics.of(FLAT, {"data": "one", "features": "pixels", "resize": "bicubic", "size": 64})
        other = Statistics.of(FLAT, {"data": "other", "features": "pixels", "resize": "bilinear", "size": 64})
        with pytest.raises(
            ValueError, match="one and other cannot be compared: they have resize = 'bicubic' and 'bilinear'"
        ):
            check_comparable(one, other)
        with pytest.raises(ValueError, match="16 and 15 dimensions"):
            check_comparable(one, Statistics.of(FLAT[:, 1:]))

    def test_floats_of_another_range(self):
        source = ArraySource("unit", FLAT.reshape(-1, 4, 4, 1))
        with pytest.raises(ValueError, match=r"images with values from 0 to 1; give bytes, or floats from 0 to 255"):
            collect(source)

    def test_the_range_is_that_of_the_whole_pass(self):
        """A dark batch among others is no image of another range."""
        dark = np.concatenate([np.zeros((8, 4, 4, 1)), 255 * FLAT.reshape(-1, 4, 4, 1)]).astype(np.float32)
        assert collect(ArraySource("dark", dark), batch_size=4).n == 8 + len(FLAT)

    def test_no_images(self):
        with pytest.raises(ValueError, match=r"images of shape \(\d+, 16\); give \(n, height, width, channels\)"):
            collect(ArraySource("flat", FLAT))

    def test_features_that_are_not_finite(self):
        evaluator = FeatureStatistics(pixels(), 10)
        values = {"features": np.full((2, 16), np.nan), "images": IMAGES[:2]}
        with pytest.raises(ValueError, match="the features 'pixels' of 2 images are not finite, first of image 4"):
            evaluator.add(evaluator.begin(10), slice(4, 6), values)


def test_about_is_plain(tmp_path):
    assert json.loads(json.dumps(collect().about)) == collect().about
