"""A scale by sample, by log-SNR and in an interval means the same to every guidance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde import guidance as g
from tests.guidance.exact import BAD, GOOD, NULL, Exact, rows
from tests.networks.quick import quick_jit

SDE = ss.VP()
GUIDANCES = {
    "classifier_free": lambda w, **options: g.classifier_free(GOOD.denoiser(SDE), w, null=NULL, **options),
    "classifier": lambda w, **options: g.classifier(GOOD.denoiser(SDE), Exact(SDE), w, **options),
    "auto": lambda w, **options: g.auto(GOOD.denoiser(SDE), BAD.denoiser(SDE), w, **options),
    "projected": lambda w, **options: g.projected(GOOD.denoiser(SDE), w, null=NULL, **options),
}
POINTS, SCALES = (-4.0, 0.0, 5.0), (1.0, 3.0, 2.0)


def rising(log_snr):
    """An ordinary function w(λ)."""
    return 2 + jnp.tanh(log_snr / 4)


@pytest.mark.parametrize("name", GUIDANCES)
def test_functions_and_intervals(name):
    """Each is the guidance with those numbers, one for each sample; outside the interval with the number for none."""
    make, (x, t, label, _) = GUIDANCES[name], rows(SDE, 16)
    noise = quick_jit(lambda model: model.noise(x, t, {"label": label}))
    log_snr, level = np.asarray(SDE.log_snr(t), np.float64), np.asarray(SDE.sigma(t) / SDE.alpha(t))
    low, high = (float(np.mean(np.sort(level)[k : k + 2])) for k in (4, 11))
    inside = (low < level) & (level <= high)
    assert inside.sum() == 7
    none = 0.0 if name == "classifier" else 1.0
    numbers = {
        "points": (make(g.OverLogSNR(POINTS, SCALES)), np.interp(log_snr, POINTS, SCALES)),
        "function": (make(rising), 2 + np.tanh(log_snr / 4)),
        "interval": (make(3.0, interval=(low, high)), np.where(inside, 3.0, none)),
        "both": (make(rising, interval=(low, high)), np.where(inside, 2 + np.tanh(log_snr / 4), none)),
    }
    for model, w in numbers.values():
        np.testing.assert_allclose(noise(model), noise(make(jnp.asarray(w, jnp.float32))), rtol=1e-4, atol=1e-5)
    assert float(jnp.max(jnp.abs(noise(make(1.0)) - noise(make(3.0))))) > 0.1


def test_numbers_are_leaves_and_functions_structure():
    structure = jax.tree.structure
    make = GUIDANCES["auto"]
    assert structure(make(1.0)) == structure(make(2.0))  # another number compiles nothing
    assert structure(make(rising)) == structure(make(rising))
    points, others = (make(g.OverLogSNR(POINTS, scales)) for scales in (SCALES, (0.0, 1.0, 2.0)))
    assert structure(points) == structure(others)
    x, t, label, _ = rows(SDE, 4)
    gradient = quick_jit(jax.grad(lambda m: jnp.sum(m.noise(x, t, {"label": label}) ** 2)))(points)
    assert np.any(np.asarray(gradient.scale.scales) != 0)
    assert np.all(np.isfinite(gradient.scale.scales))


def test_points_beyond_the_ends():
    scale = g.OverLogSNR(POINTS, SCALES)
    found = scale(jnp.array([-jnp.inf, -5.0, -2.0, 2.5, 7.0, jnp.inf]))
    np.testing.assert_allclose(found, [1.0, 1.0, 2.0, 2.5, 2.0, 2.0])


@pytest.mark.usefixtures("unchecked")
def test_bad_input():
    make, x = GUIDANCES["classifier_free"], jnp.zeros((3, 2))
    with pytest.raises(ValueError, match=r"log_snrs = \[1\. 0\.\]; they must rise"):
        g.OverLogSNR((1.0, 0.0), (1.0, 2.0))
    with pytest.raises(ValueError, match=r"log_snrs has shape \(2,\), scales \(1,\); give one scale for each"):
        g.OverLogSNR((0.0, 1.0), (1.0,))
    with pytest.raises(ValueError, match=r"scales = .*nan.*; allowed: finite numbers"):
        g.OverLogSNR((0.0, 1.0), (1.0, float("nan")))
    with pytest.raises(ValueError, match="scale = inf; it must be finite"):
        make(float("inf"))
    with pytest.raises(ValueError, match=r"scale has shape \(2, 2\)"):
        make(jnp.ones((2, 2)))
    for scale in (jnp.ones(2), lambda log_snr: jnp.ones(2)):
        with pytest.raises(ValueError, match=r"scale has shape \(2,\) beside x of shape \(3, 2\); .*\(3,\)"):
            make(scale).denoise(x, 0.5, {"label": jnp.zeros(3, int)})
