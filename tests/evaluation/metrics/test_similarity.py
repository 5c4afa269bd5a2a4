"""PSNR and SSIM against the definitions, written out pixel by pixel."""

import jax
import numpy as np
import pytest

from score_sde.evaluation.metrics import ms_ssim, psnr, ssim
from score_sde.evaluation.metrics.similarity import WEIGHTS


def pictures(n=2, size=16, seed=0):
    draw = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(draw.normal(size=(n, size, size, 2)), axis=1), axis=2)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def by_hand(x, y, span):
    """(luminance, structure) of each window of one channel."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(taps, taps) / taps.sum() ** 2
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    found = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
            cov = (window * (a - ma) * (b - mb)).sum()
            found.append(((2 * ma * mb + c1) / (ma**2 + mb**2 + c1), (2 * cov + c2) / (va + vb + c2)))
    return np.array(found)


def test_psnr():
    x, y = pictures(), pictures(seed=1)
    wanted = [10 * np.log10(1 / np.mean((a - b) ** 2)) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(psnr(x, y), wanted, rtol=1e-5)
    np.testing.assert_allclose(psnr(255 * x, 255 * y, span=255), wanted, rtol=1e-5)


@pytest.mark.parametrize("span", [1, 255])
def test_ssim(x64, span):
    x, y = span * pictures(), span * (pictures() + 0.1 * pictures(seed=1))
    wanted = [
        np.mean([by_hand(a[..., c], b[..., c], span).prod(axis=1).mean() for c in range(2)])
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(ssim(x, y, span=span), wanted, rtol=1e-9)
    np.testing.assert_allclose(ssim(x, x, span=span), 1, rtol=1e-9)


def test_ms_ssim(x64):
    """Of the five scales by hand, each half of the one before."""
    x, y = pictures(1, 176), pictures(1, 176) + 0.05 * pictures(1, 176, 1)
    a, b, wanted = x[0], y[0], 1.0
    for scale, weight in enumerate(WEIGHTS):
        parts = np.concatenate([by_hand(a[..., c], b[..., c], 1) for c in range(2)])
        wanted *= (parts.prod(axis=1) if scale == 4 else parts[:, 1]).mean() ** weight
        a, b = (
            (a, b)
            if scale == 4
            else (z.reshape(z.shape[0] // 2, 2, z.shape[1] // 2, 2, 2).mean(axis=(1, 3)) for z in (a, b))
        )
    np.testing.assert_allclose(ms_ssim(x, y), wanted, rtol=1e-8)


def test_noise_makes_it_worse():
    x = pictures(1, 32)
    noise = np.random.default_rng(2).normal(size=x.shape)
    for measure in (psnr, ssim):
        values = [float(measure(x, x + s * noise)[0]) for s in (0.01, 0.05, 0.2)]
        assert values[0] > values[1] > values[2]


def test_bad_input():
    with pytest.raises(ValueError, match="images of 8 x 8; SSIM needs at least 11 pixels"):
        ssim(pictures(size=8), pictures(size=8))
    with pytest.raises(ValueError, match="images of 16 x 16; MS-SSIM needs more than 160 pixels"):
        ms_ssim(pictures(), pictures())
    assert jax.numpy.isinf(psnr(pictures(), pictures())).all()
