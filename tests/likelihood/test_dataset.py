"""A whole split: the mean by hand, the last batch, and an evaluation that is killed and goes on."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.data import ArraySource, DataScaling
from score_sde.likelihood import evaluate, of_data

SCALING = DataScaling(levels=5, dequantize=True)
SDE = ss.VP()
TRUTH = ss.analytic.GaussianMixture([[-0.5, 0.3], [0.4, -0.2]], [0.3, 0.2])
MODEL = TRUTH.denoiser(SDE)
SOURCE = ArraySource("pairs", np.random.default_rng(0).integers(0, 5, size=(13, 2)).astype(np.uint8), levels=5)
KEY = jax.random.key(3)
QUIET = {"progress": False, "rtol": 1e-3, "atol": 1e-3}


class Killed(RuntimeError):
    pass


class Fragile(ArraySource):
    """A source that breaks off after some batches."""

    def take(self, index):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super().take(index)


def fragile(left: int) -> Fragile:
    source = Fragile(SOURCE.name, SOURCE.data, levels=5)
    object.__setattr__(source, "left", left)
    return source


def test_every_example_counts_once(tmp_path):
    """13 examples in batches of 5, by hand: the last three are there, and the error bar is that of the images."""
    result = evaluate(MODEL, SOURCE, KEY, SCALING, tmp_path / "bits.json", repeats=2, batch_size=5, **QUIET)
    options = {"rtol": 1e-3, "atol": 1e-3}
    by_hand = np.stack(
        [of_data(MODEL, SOURCE.data, jax.random.fold_in(KEY, r), SCALING, **options)[0] for r in range(2)]
    )
    np.testing.assert_allclose(result["repeat_means"], by_hand.mean(axis=1), rtol=1e-4)
    images = by_hand.mean(axis=0)
    np.testing.assert_allclose(result["mean"], images.mean(), rtol=1e-4)
    np.testing.assert_allclose(result["standard_error"], images.std(ddof=1) / np.sqrt(13), rtol=1e-3)
    assert (result["images"], result["failures"], result["unit"]) == (13, 0, "bits/dim")
    assert json.loads((tmp_path / "bits.json").read_text()) == result
    assert result["settings"]["options"] == {"atol": 1e-3, "rtol": 1e-3}


def test_killed_and_resumed_is_bit_equal(tmp_path):
    run = {"repeats": 2, "batch_size": 5, "save_every": 0.0, **QUIET}
    whole = evaluate(MODEL, SOURCE, KEY, SCALING, tmp_path / "whole.json", **run)
    for left in (2, 1, 0):  # killed three times, the last before anything was done
        with pytest.raises(Killed):
            evaluate(MODEL, fragile(left), KEY, SCALING, tmp_path / "parts.json", **run)
        assert not (tmp_path / "parts.json").exists()
    last = fragile(3)  # of six batches three are left
    assert evaluate(MODEL, last, KEY, SCALING, tmp_path / "parts.json", **run) == whole
    assert last.left == 0
    arrays = [np.load(tmp_path / name)["per_dim"] for name in ("whole.npz", "parts.npz")]
    np.testing.assert_array_equal(*arrays)


def test_another_evaluation_is_not_mixed_in(tmp_path):
    run = {"repeats": 1, "batch_size": 13, **QUIET}
    evaluate(MODEL, SOURCE, KEY, SCALING, tmp_path / "a.json", **run)
    other = ss.analytic.GaussianMixture([[-0.5, 0.3], [0.4, -0.1]], [0.3, 0.2]).denoiser(SDE)
    for model, options, name in ((other, run, "model"), (MODEL, run | {"repeats": 2}, "repeats")):
        with pytest.raises(ValueError, match=f"other settings: {name} = .* then, .* now"):
            evaluate(model, SOURCE, KEY, SCALING, tmp_path / "a.json", **options)
    (tmp_path / "b.npz").write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="no unfinished evaluation"):
        evaluate(MODEL, SOURCE, KEY, SCALING, tmp_path / "b.json", **run)


def test_failures_are_counted_and_left_out():
    """A model that knows nothing of one corner: its images are NaN, named, and not in the mean."""

    def velocity(x, t, condition):
        return jnp.where(x[:, :1] > 0.5, jnp.nan, 1.0) * MODEL.noise(x, t)

    broken = ss.FunctionDenoiser(SDE, velocity, predicts="noise")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = evaluate(broken, SOURCE, KEY, SCALING, repeats=1, batch_size=13, **QUIET)
    assert any("was given up" in str(w.message) for w in caught)
    assert result["failures"] == len(result["failed"]) == 13 - result["images"] > 0
    assert np.isfinite(result["mean"])


def test_continuous_data_are_in_nats():
    source = ArraySource("points", np.asarray(TRUTH.sample(jax.random.key(0), 6)))
    scaling = DataScaling(levels=None)
    result = evaluate(MODEL, source, KEY, scaling, repeats=1, batch_size=4, divergence="exact", progress=False)
    assert result["unit"] == "nats/dim"
    exact = -np.mean(TRUTH.log_prob(jnp.asarray(source.data), sde=SDE, t=SDE.t_min)) / 2
    assert abs(result["mean"] - exact) <= 1e-3
