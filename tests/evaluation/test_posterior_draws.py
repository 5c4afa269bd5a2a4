"""Restoration by posterior draws: Gaussian data, of which a half is measured, so that every figure has a closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.data import ArraySource, DataScaling
from score_sde.evaluation import PosteriorDraws, Subject, evaluate, examples

KEY, SDE, SHAPE, S, STD = jax.random.key(0), ss.VP(), (12, 12, 1), 0.1, 0.05
SCALING = DataScaling(levels=None, mean=127.5, std=127.5)
SAMPLER = partial(ss.samplers.dpm_solver, steps=20)


@jax.tree_util.Partial
def denoised(x, t, condition):
    """E[x_0 | x_t] of x_0 ~ N(0, S²)."""
    alpha, sigma = (each(t)[:, None, None, None] for each in (SDE.alpha, SDE.sigma))
    return alpha * S**2 / (alpha**2 * S**2 + sigma**2) * x


MODEL = ss.FunctionDenoiser(SDE, denoised, predicts="data")


def source(n=60):
    x0 = np.random.default_rng(0).normal(size=(n, *SHAPE)) * S
    return ArraySource("gaussian", (127.5 * (1 + x0)).astype(np.float32))


def drawn(batch=20, file=None, images=60, **options):
    measure = PosteriorDraws(
        ss.inverse.half_mask(SHAPE), STD, **{"draws": 3, "first": None, "sampler": SAMPLER, **options}
    )
    stream = examples(source(images), batch)
    return evaluate(Subject(MODEL, SCALING), {"draws": measure}, stream, KEY, file, progress=False)["draws"]


def test_draws_of_the_posterior_have_the_errors_of_the_posterior(tmp_path):
    """Measured pixels have the variance v = S² STD²/(S² + STD²), the others S²; residuals that of the noise.

    The squared error of one draw is 2 v, that of the mean of three (1 + 1/3) v.
    """
    found = drawn(file=tmp_path / "restored.json", method=partial(ss.inverse.mmps, solver=ss.inverse.GMRES(2)))
    with np.load(tmp_path / "restored_draws.npz") as kept:
        original, draws, y = kept["original"], kept["draws"], kept["measurement"]
        np.testing.assert_allclose(kept["mean"], draws.mean(axis=1), atol=1e-6)
        np.testing.assert_allclose(kept["seen"][:, :, :6], y.reshape(60, 12, 6, 1))
    assert draws.shape == (60, 3, *SHAPE)
    np.testing.assert_allclose(np.std(y - original[:, :, :6].reshape(60, -1)), STD, rtol=0.02)
    errors = (
        ((draws - original[:, None]) ** 2).mean(axis=(0, 1, 2, 4)),
        ((draws.mean(1) - original) ** 2).mean((0, 1, 3)),
    )
    v = np.r_[np.full(6, S**2 * STD**2 / (S**2 + STD**2)), np.full(6, S**2)]
    np.testing.assert_allclose(errors[0].reshape(2, 6).mean(1), 2 * v[::6], rtol=0.05)
    np.testing.assert_allclose(errors[1].reshape(2, 6).mean(1), 4 / 3 * v[::6], rtol=0.05)
    assert found["metrics"]["residual²/std²"]["value"] == pytest.approx(1, abs=0.05)
    gain = found["metrics"]["psnr of the mean"]["value"] - found["metrics"]["psnr of a draw"]["value"]
    assert gain == pytest.approx(10 * np.log10(2 / (4 / 3)), abs=0.05)
    assert found["evaluations"] == 21
    assert found["failed draws"] == 0
    assert found["noise"] == {"std in model space": STD, "std from 0 to 1": STD / 2}


@pytest.mark.parametrize(
    "method", [ss.inverse.diffpir, partial(ss.inverse.ddrm, steps=5), partial(ss.inverse.dps, steps=5)]
)
def test_a_draw_depends_on_its_image_and_number_alone(method, tmp_path):
    """Not on the batch, nor on the other images."""
    for batch, images in ((8, 8), (5, 12)):
        drawn(batch, tmp_path / f"{batch}.json", images, method=method)
    kept = [np.load(tmp_path / f"{batch}_draws.npz")["draws"][:8] for batch in (8, 5)]
    np.testing.assert_allclose(*kept, atol=1e-5)
    assert np.abs(kept[0][0, 0] - kept[0][0, 1]).max() > 0.01
    assert np.abs(kept[0][0, 0] - kept[0][1, 0]).max() > 0.01


def test_a_killed_restoration_goes_on(tmp_path, monkeypatch):
    """The first pass dies in its third batch; the second draws what is left, and has the same result."""
    whole = drawn(8, method=ss.inverse.diffpir, images=30)
    kept, calls = PosteriorDraws.measure, []

    def dying(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return kept(self, *arguments)

    monkeypatch.setattr(PosteriorDraws, "measure", dying)
    with pytest.raises(KeyboardInterrupt):
        drawn(8, tmp_path / "a.json", 30, method=ss.inverse.diffpir)
    resumed = drawn(8, tmp_path / "a.json", 30, method=ss.inverse.diffpir)
    assert resumed["metrics"] == whole["metrics"]
    assert len(calls) <= 6


def test_sequential_monte_carlo_draws_one_of_each_group():
    found = drawn(10, images=10, method=partial(ss.inverse.smc, particles=64, steps=20), draws=2)
    assert found["metrics"]["residual²/std²"]["value"] < 3
    assert found["failed draws"] <= 2  # a group with one particle left is told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"std": -1.0}, "std = -1.0; allowed: 0 or more, in units of model space"),
        ({"draws": 0}, "draws = 0; allowed: 1 or more"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(ValueError, match=words):
        PosteriorDraws(ss.inverse.half_mask(SHAPE), **{"std": 0.1, **options})


def test_without_noise_the_residual_is_told_as_it_is():
    measure = PosteriorDraws(ss.inverse.half_mask(SHAPE), 0.0, ss.inverse.ddnm, 1, None, SAMPLER)
    found = evaluate(Subject(MODEL, SCALING), {"d": measure}, examples(source(10), 10), KEY, progress=False)["d"]
    assert found["metrics"]["squared residual"]["value"] < 1e-10
    assert jnp.isfinite(found["metrics"]["psnr of the mean"]["value"])
