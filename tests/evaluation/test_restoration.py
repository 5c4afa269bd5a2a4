"""PSNR and SSIM of restored images in the pass: Gaussian data, whose best restoration has a known error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma

import score_sde as ss
from score_sde.data import ArraySource, DataScaling
from score_sde.evaluation import Restoration, Subject, evaluate, examples
from score_sde.evaluation.metrics import psnr, ssim

KEY = jax.random.key(0)
SDE = ss.VP()
SHAPE = (12, 12, 1)
MODEL = ss.FunctionDenoiser(SDE, lambda x, t, condition: x, predicts="data")


def restored(measure, source, scaling, model):
    stream = examples(source, 16)
    return evaluate(Subject(model, scaling), {"restoration": measure}, stream, KEY, progress=False)["restoration"]


@pytest.mark.parametrize("t", [0.2, 0.5])
def test_one_denoising_has_the_error_of_the_posterior(t):
    """x_0 ~ N(0, s²) has E‖x_0 − x̂‖²/D = s² σ²/(α² s² + σ²); pixels are far inside the range, so nothing is clipped."""
    s = 0.1
    x0 = np.random.default_rng(0).normal(size=(200, *SHAPE)) * s
    source = ArraySource("gaussian", (127.5 * (1 + x0)).astype(np.float32))
    scaling = DataScaling(levels=None, mean=127.5, std=127.5)
    alpha, sigma = SDE.alpha(t), SDE.sigma(t)

    def denoised(x, t, condition):
        alpha, sigma = (each(t)[:, None, None, None] for each in (SDE.alpha, SDE.sigma))
        return alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x

    found = restored(Restoration(t=t), source, scaling, ss.FunctionDenoiser(SDE, denoised, predicts="data"))
    error = s**2 * sigma**2 / (alpha**2 * s**2 + sigma**2)
    dims = np.prod(SHAPE)  # the squared error is error · χ²/dims, whose logarithm has a mean below 0
    wanted = 10 * np.log10(4 / error) - 10 / np.log(10) * (digamma(dims / 2) - np.log(dims / 2))
    entry = found["metrics"]["psnr"]
    assert abs(entry["value"] - wanted) < 3 * entry["standard_error"] < 0.15
    assert entry["interval"][0] < entry["value"] < entry["interval"][1]
    assert entry["n"] == found["examples"] == 200


@pytest.mark.parametrize("dequantize", [False, True])
def test_a_restoration_of_ones_own(dequantize):
    """An offset of 0.1 of the range is 20 dB; SSIM is that of the function of arrays."""
    data = np.random.default_rng(0).integers(30, 200, (20, *SHAPE)).astype(np.uint8)
    source = ArraySource("bytes", data, levels=256)

    def brighter(model, x0, keys, condition):
        return x0 + 0.2

    measure = Restoration(restore=brighter)
    found = restored(measure, source, DataScaling(levels=256, dequantize=dequantize), MODEL)
    assert found["metrics"]["psnr"]["value"] == pytest.approx(20, abs=1e-3)
    assert found["metrics"]["psnr"]["standard_error"] < 1e-4
    unit = (data + 0.5) / 256 if dequantize else data / 255
    own = ssim(jnp.asarray(unit + 0.1), jnp.asarray(unit))
    assert found["metrics"]["ssim"]["value"] == pytest.approx(float(own.mean()), rel=1e-4)
    assert psnr(unit + 0.1, unit).shape == (20,)
    assert "test_restoration:" in repr(measure)


def test_what_cannot_be_restored():
    with pytest.raises(ValueError, match=r"t = 0.0; allowed: above 0, up to 1"):
        Restoration(t=0.0)
    flat = ArraySource("flat", np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match=r"examples of shape \(4,\); restoration is of images"):
        restored(Restoration(), flat, DataScaling(levels=None), MODEL)
