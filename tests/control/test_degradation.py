"""The degradations of blind super-resolution: each parameter as its table says, each step as other programs compute it."""

import dataclasses
import io
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from PIL import Image

from score_sde.control import Degraded
from score_sde.control.degradation import MILD, ONCE, TWICE
from score_sde.control.degradation.compression import compressed
from score_sde.control.degradation.kernels import SIZES, bell, bessel_j1, filtered, sinc
from score_sde.control.degradation.noise import counts, gaussian, poisson
from score_sde.control.degradation.resizing import MODES, resized

TORCH = np.load(Path(__file__).parent / "torch_interpolate.npz")  # torch.nn.functional of torch 2.13.0
N = 20_000


@pytest.fixture(scope="module")
def drawn():
    keys = jax.random.split(jax.random.key(0), N)
    return {name: jax.tree.map(np.asarray, jax.jit(jax.vmap(p.drawn))(keys)) for name, p in PASSES.items()}


PASSES = {"first": ONCE, "second": TWICE, "mild": MILD}
TABLE = {  # Real-ESRGAN's options/train_realesrgan_x4plus.yml
    "first": {"blur": 1.0, "stds": (0.2, 3.0), "scales": (0.15, 1.5), "noise": (1, 30), "poisson": (0.05, 3.0)},
    "second": {"blur": 0.8, "stds": (0.2, 1.5), "scales": (0.3, 1.2), "noise": (1, 25), "poisson": (0.05, 2.5)},
}
RESIZE = {"first": (0.2, 0.7, 0.1), "second": (0.3, 0.4, 0.3)}


@pytest.mark.parametrize("which", TABLE)
def test_each_parameter_has_the_range_and_the_frequency_of_the_table(drawn, which):
    found, table = drawn[which], TABLE[which]

    def is_uniform(values, low, high):
        assert scipy.stats.kstest((values - low) / (high - low), "uniform").pvalue > 1e-3

    def is_share(flags, p):
        assert abs(np.mean(flags) - p) < 4 * np.sqrt(p * (1 - p) / N) + 1e-9

    for name in ("noise", "poisson"):
        is_uniform(found[name], *table[name])
    for axis in (0, 1):
        is_uniform(found["stds"][:, axis], *table["stds"])
    is_uniform(found["quality"], 30, 95)
    is_uniform(found["angle"], -np.pi, np.pi)
    is_share(found["blurred"], table["blur"])
    is_share(found["sinc"], 0.1)
    is_share(found["gaussian"], 0.5)
    is_share(found["alike"], 0.4)
    for kind, p in enumerate((0.45, 0.25, 0.12, 0.03, 0.12, 0.03)):
        is_share(found["kind"] == kind, p)
    for size in SIZES:
        is_share(found["size"] == size, 1 / 8)
    for mode in range(3):
        is_share(found["mode"] == mode, 1 / 3)
    larger, smaller, kept = (found["scale"] > 1, found["scale"] < 1, found["scale"] == 1)
    for flags, p in zip((larger, smaller, kept), RESIZE[which], strict=True):
        is_share(flags, p)
    is_uniform(found["scale"][larger], 1, table["scales"][1])
    is_uniform(found["scale"][smaller], table["scales"][0], 1)
    generalised, plateau = found["power"][found["kind"] // 2 == 1], found["power"][found["kind"] // 2 == 2]
    assert abs(np.mean(generalised < 1) - 0.5) < 0.05
    assert generalised.min() >= 0.5
    assert generalised.max() <= 4
    assert np.mean(plateau == 1) > 0.4
    assert plateau.max() <= 2
    small = found["size"] < 13
    is_uniform(found["cutoff"][small], np.pi / 3, np.pi)
    is_uniform(found["cutoff"][~small], np.pi / 5, np.pi)


def test_the_mild_preset_is_milder_in_everything(drawn):
    mild, first = drawn["mild"], drawn["first"]
    assert mild["stds"].max() <= 1.2
    assert mild["noise"].max() <= 6
    assert mild["quality"].min() >= 70
    assert mild["scale"].min() >= 0.6 > first["scale"].min()
    assert not mild["sinc"].any()


@pytest.mark.parametrize("name", [name for name in TORCH.files if name.split()[0] in MODES])
def test_sizes_that_are_not_known_are_resized_as_torch_does(name):
    mode, n, m = name.split()
    x, wanted = TORCH["x"], TORCH[name]
    canvas = np.zeros((24, 30, 3), np.float32)
    canvas[: x.shape[0], : x.shape[1]] = x
    found = jax.jit(resized)(canvas, jnp.array(x.shape[:2]), jnp.array([int(n), int(m)]), MODES.index(mode))
    np.testing.assert_allclose(found[: int(n), : int(m)], wanted, atol=2e-5)
    assert not np.asarray(found)[int(n) :].any()
    assert not np.asarray(found)[:, int(m) :].any()


def test_blur_continues_the_picture_by_reflection():
    x = TORCH["x"]
    canvas = np.full((16, 16, 3), 7.0, np.float32)  # what is beyond the picture does not matter
    canvas[: x.shape[0], : x.shape[1]] = x
    found = filtered(jnp.asarray(canvas), jnp.array(x.shape[:2]), jnp.asarray(TORCH["kernel"]))
    np.testing.assert_allclose(found[: x.shape[0], : x.shape[1]], TORCH["filtered"], atol=2e-5)


def test_kernels_sum_to_one_are_as_wide_as_they_say_and_not_larger():
    for kind in range(6):
        kernel = np.asarray(bell(jnp.array(kind), jnp.array([1.5, 0.7]), jnp.array(0.3), jnp.array(1.3), jnp.array(15)))
        assert abs(kernel.sum() - 1) < 1e-5
        assert not kernel[:3].any()
        assert kernel[3:-3].any()
    gauss = np.asarray(bell(jnp.array(1), jnp.array([2.0, 0.8]), jnp.array(np.pi / 2), jnp.array(1.0), jnp.array(21)))
    place = np.arange(21) - 10
    assert np.sum(gauss * place[:, None] ** 2) == pytest.approx(
        4.0, rel=1e-3
    )  # the angle turns the long side to the rows
    assert np.sum(gauss * place[None, :] ** 2) == pytest.approx(0.64, rel=1e-2)


def test_the_sinc_filter_keeps_slow_waves_and_stops_fast_ones():
    z = np.linspace(0, 45, 200)
    np.testing.assert_allclose(bessel_j1(jnp.asarray(z, jnp.float32)), scipy.special.j1(z), atol=2e-6)
    kernel = np.asarray(sinc(jnp.array(np.pi / 2), jnp.array(21)))
    wave = [np.sum(kernel * np.cos(w * (np.arange(21) - 10))[None]) for w in (0.25 * np.pi, 0.8 * np.pi)]
    assert abs(wave[0] - 1) < 0.1
    assert abs(wave[1]) < 0.1


def test_counts_are_draws_of_poisson():
    levels = jnp.repeat(jnp.array([0, 3, 40, 255]), 5000)
    for v in (8.0, 256.0):
        found = np.asarray(counts(jax.random.key(3), levels, jnp.array(v))).reshape(4, -1)
        for mine, k in zip(found, (0, 3, 40, 255), strict=True):
            mean = v * k / 255
            assert abs(mine.mean() - mean) < 4 * np.sqrt(mean / 5000) + 1e-9
            assert abs(mine.var() - mean) < 6 * mean * np.sqrt(2 / 5000) + 6 * np.sqrt(mean / 5000) + 1e-9
            assert np.abs(scipy.stats.poisson.cdf(mine.max(), mean) - 1) < 1e-2


def test_noise_has_its_variance_and_is_alike_in_all_channels_where_it_is_grey():
    x = jnp.full((60, 60, 3), 0.4)
    everywhere = jnp.ones((60, 60, 1), bool)
    for alike in (False, True):
        noise = np.asarray(gaussian(jax.random.key(0), x, jnp.array(0.1), jnp.array(alike)) - x)
        assert noise.std() == pytest.approx(0.1, rel=0.05)
        assert (np.abs(noise[..., 0] - noise[..., 1]).max() == 0) == alike
    two_levels = x.at[:30].set(0.8)  # v = 2
    noise = np.asarray(
        poisson(jax.random.key(1), two_levels, jnp.array(0.5), jnp.array(False), everywhere) - two_levels
    )
    assert noise[30:].var() == pytest.approx(0.5**2 * 0.4 / 2, rel=0.1)
    assert noise[:30].var() == pytest.approx(0.5**2 * 0.8 / 2, rel=0.1)


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_a_grey_picture_is_compressed_as_libjpeg_does(quality):
    x = np.round(255 * TORCH["x"][:8, :8, :1]).astype(np.uint8)
    x = np.tile(x, (2, 2, 1))
    file = io.BytesIO()
    Image.fromarray(x[..., 0]).save(file, "jpeg", quality=quality)
    theirs = np.asarray(Image.open(file), np.float32)
    found = 255 * np.asarray(
        compressed(jnp.asarray(x / 255, jnp.float32), jnp.array([16, 16]), jnp.array(float(quality)))
    )
    assert np.abs(found[..., 0] - theirs).max() <= 2


def test_colours_have_half_the_resolution():
    x = jnp.zeros((16, 16, 3)).at[:, ::2, 0].set(1.0).at[:, 1::2, 2].set(1.0)  # red and blue columns of a pixel
    found = np.asarray(compressed(x, jnp.array([16, 16]), jnp.array(95.0)))
    assert np.abs(found[:, 0] - found[:, 1]).max() < 0.4  # the hue is that of both; the luminance differs
    dark = jnp.zeros((16, 16, 3)).at[:8, :8].set(0.5)
    assert np.allclose(
        compressed(dark, jnp.array([8, 8]), jnp.array(90.0)), 0.5, atol=0.02
    )  # beyond the picture is none


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mild", [False, True])
def test_a_whole_degradation_depends_on_the_key_of_its_example_alone(channels, mild):
    degraded = Degraded((16, 24, channels), factor=2, mild=mild)
    x = jnp.asarray(np.random.default_rng(0).integers(0, 256, (5, 16, 24, channels)), jnp.uint8)
    keys = jax.random.split(jax.random.key(0), 5)
    program = jax.jit(jax.vmap(degraded))
    together = program(keys, x)
    assert together.shape == (5, 8, 12, channels)
    assert bool(jnp.isfinite(together).all())
    assert float(jnp.abs(together).max()) <= 1
    assert len({*np.round(np.asarray(together), 3).std(axis=(1, 2, 3)).tolist()}) == 5
    np.testing.assert_array_equal(program(keys[::-1], x[::-1]), together[::-1])
    other_keys = program(keys[::-1], x)
    assert float(jnp.abs(other_keys[0] - together[0]).max()) > 0.05


def test_the_mild_preset_stays_nearer_to_the_picture():
    x = jnp.asarray(np.tile(np.linspace(40, 220, 32)[None, :, None, None], (64, 1, 32, 3)), jnp.uint8)
    keys = jax.random.split(jax.random.key(1), 64)
    clean = np.asarray(x[:, ::2, ::2] / 127.5 - 1)
    errors = []
    for mild in (False, True):
        found = np.asarray(jax.jit(jax.vmap(Degraded((32, 32, 3), factor=2, mild=mild)))(keys, x))
        errors.append(np.sqrt(np.mean((found - clean) ** 2)))
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Degraded((16, 16, 2)), "allowed: 1 channel (grey) or 3"),
        (lambda: Degraded((18, 16, 3)), "factor = 4 for a picture of (18, 16); it must divide both sides"),
        (lambda: Degraded((16, 16, 3), ring=2.0), "ring = 2.0; allowed: a probability"),
        (
            lambda: dataclasses.replace(ONCE, kinds=(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)),
            "allowed: 6 probabilities whose sum is 1",
        ),
        (lambda: dataclasses.replace(ONCE, scales=(0.5, 0.8)), "scales = (0.5, 0.8); allowed: a range that holds 1"),
        (lambda: dataclasses.replace(ONCE, quality=(0.0, 50.0)), "quality = (0.0, 50.0); allowed: (smallest, largest)"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
