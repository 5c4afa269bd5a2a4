"""What each linear operator does to pictures of which the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from score_sde import inverse
from tests.inverse.operators.cases import asymmetric_kernel, image


def test_masks_count_pixels():
    shape = (8, 6, 3)
    box = inverse.box_mask(shape, (4, 2))
    assert box.measured == (3 * (48 - 8),)
    seen = np.asarray(box.mask)
    assert not seen[2:6, 2:4].any()
    assert seen.sum() == 120
    assert np.asarray(inverse.box_mask(shape, 2, corner=(6, 0)).mask)[6:, :2].sum() == 0
    assert np.asarray(inverse.outpainting_mask(shape, (4, 2)).mask).sum() == 24
    np.testing.assert_array_equal(inverse.outpainting_mask(shape, (4, 2)).mask, ~seen)
    for missing, part in {"left": np.s_[:, :3], "right": np.s_[:, 3:], "top": np.s_[:4], "bottom": np.s_[4:]}.items():
        half = np.asarray(inverse.half_mask(shape, missing).mask)
        assert half.sum() == 72
        assert not half[part].any()
    together = np.asarray(inverse.random_mask(shape, 0.7, seed=0).mask)
    assert together.sum() == 3 * (48 - 34)
    assert (together == together[..., :1]).all()
    apart = np.asarray(inverse.random_mask(shape, 0.7, seed=0, per_channel=True).mask)
    assert apart.sum() == 144 - 101
    assert (apart != apart[..., :1]).any()


def test_a_mask_reads_what_it_shows():
    mask = np.random.default_rng(0).random((5, 4)) < 0.5
    x = jnp.asarray(image((2, 5, 4, 2)))
    A = inverse.Mask(mask, (5, 4, 2))
    np.testing.assert_array_equal(A(x), np.asarray(x)[:, mask].reshape(2, -1))
    np.testing.assert_array_equal(A.adjoint(A(x)), np.where(mask[..., None], x, 0))
    np.testing.assert_array_equal(A.pinv(A(x)), np.where(mask[..., None], x, 0))
    np.testing.assert_array_equal(A.mask, np.repeat(mask[..., None], 2, 2))


CONSTANT = {
    "average": lambda: inverse.average_downsampling((8, 8, 1), 4),
    **{f"bicubic {b}": lambda b=b: inverse.bicubic_downsampling((16, 16, 1), 4, b) for b in ("symmetric", "circular")},
    **{f"gaussian {b}": lambda b=b: inverse.gaussian_blur((9, 9, 1), 1.0, border=b) for b in ("reflect", "replicate")},
    "motion": lambda: inverse.motion_blur((9, 9, 1), 9, 0.5, seed=0),
    "grey": lambda: inverse.grey((4, 4, 3)),
    "grey by mean": lambda: inverse.grey((4, 4, 3), "mean"),
}


@pytest.mark.parametrize("make", CONSTANT.values(), ids=CONSTANT.keys())
def test_a_constant_stays(make):
    A = make()
    np.testing.assert_allclose(A(jnp.full((1, *A.shape), 0.7)), 0.7, rtol=1e-5)


def test_average_downsampling_is_the_mean_of_blocks():
    x = image((2, 8, 12, 3))
    A = inverse.average_downsampling((8, 12, 3), 4)
    np.testing.assert_allclose(A(jnp.asarray(x)), x.reshape(2, 2, 4, 3, 4, 3).mean((2, 4)), atol=1e-6)
    np.testing.assert_allclose(A.svd().s, 0.25, rtol=1e-6)  # so A⁺ = 16 Aᵀ repeats each value
    y = A(jnp.asarray(x))
    np.testing.assert_allclose(A.pinv(y), np.repeat(np.repeat(y, 4, 1), 4, 2), atol=1e-5)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_downsampling_is_pillows_and_jaxs_away_from_the_border(factor):
    side = 12 * factor
    x = image((side, side)).astype(np.float32)
    y = np.asarray(inverse.bicubic_downsampling((side, side, 1), factor)(x[None, ..., None]))[0, ..., 0]
    pillow = PIL.Image.fromarray(x).resize((12, 12), PIL.Image.Resampling.BICUBIC)
    inner = np.s_[2:-2, 2:-2]  # whose kernels lie inside
    np.testing.assert_allclose(y[inner], np.asarray(pillow)[inner], atol=1e-6)
    np.testing.assert_allclose(y[inner], jax.image.resize(x, (12, 12), "cubic")[inner], atol=1e-6)


@pytest.mark.parametrize(("border", "condition"), [("symmetric", 2.02), ("reflect", 2.10), ("circular", 2.06)])
def test_bicubic_downsampling_by_4_has_a_condition_of_about_2(border, condition):
    s = np.asarray(inverse.bicubic_downsampling((64, 64, 1), 4, border).svd().s)
    assert abs(s.max() / s.min() - condition) < 0.01


def test_a_wide_gaussian_blur_has_no_useful_pseudo_inverse():
    """95 % of the modes of a blur of 3 pixels have a gain below .05."""
    s = np.asarray(inverse.gaussian_blur((64, 64, 1), 3.0, 61, "circular").svd().s)
    assert abs((s < 0.05).mean() - 0.95) < 0.01
    assert abs(s.max() - 1) < 1e-5


def test_kernels_sum_to_one_and_a_line_is_straight():
    for intensity in (0.0, 0.5, 1.0):
        kernel = inverse.motion_kernel(15, intensity, seed=1)
        assert kernel.min() >= 0
        assert abs(kernel.sum() - 1) < 1e-12
        i, j = np.indices(kernel.shape) - 7
        np.testing.assert_allclose([(i * kernel).sum(), (j * kernel).sum()], 0, atol=1e-9)  # its mean is the middle
        spread = np.linalg.eigvalsh([[(a * b * kernel).sum() for b in (i, j)] for a in (i, j)])
        assert spread[0] < (0.3 if intensity == 0 else 15)  # across a line: the width of bilinear weights alone
    assert inverse.motion_kernel(1, 0.5, seed=0) == 1


def test_blurs_are_convolutions():
    """Of a point: the kernel, seen from its middle. A separable kernel is the Gaussian blur, with each border."""
    kernel = asymmetric_kernel()
    x = jnp.zeros((1, 8, 9, 1)).at[0, 4, 4, 0].set(1.0)
    for border in ("circular", "reflect"):
        y = np.asarray(inverse.Blur(kernel, (8, 9, 1), border)(x))[0, ..., 0]
        np.testing.assert_allclose(y[3:6, 2:6], kernel, atol=1e-6)
        assert np.abs(y).sum() < 1 + 1e-5
    taps = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    separable = np.outer(taps, taps) / taps.sum() ** 2
    x = jnp.asarray(image((1, 8, 9, 1)))
    for border in ("circular", "reflect", "symmetric", "replicate"):
        gaussian = inverse.gaussian_blur((8, 9, 1), 1.0, 5, border)
        np.testing.assert_allclose(inverse.Blur(separable, (8, 9, 1), border)(x), gaussian(x), atol=1e-6)


def test_borders_are_those_of_numpy():
    x = image((6, 1, 1))
    for border, mode in {
        "circular": "wrap",
        "reflect": "reflect",
        "symmetric": "symmetric",
        "replicate": "edge",
    }.items():
        y = inverse.Blur([[1.0], [10.0], [100.0]], (6, 1, 1), border)(jnp.asarray(x)[None])[0, :, 0, 0]
        around = np.pad(x[:, 0, 0], 1, mode=mode)
        np.testing.assert_allclose(y, 100 * around[:-2] + 10 * around[1:-1] + around[2:], rtol=1e-4, atol=1e-4)


def test_grey_and_colours():
    x = jnp.asarray([1.0, 10.0, 100.0]).reshape(1, 1, 1, 3)
    assert abs(float(inverse.grey((1, 1, 3))(x)[0, 0, 0, 0]) - (0.299 + 5.87 + 11.4)) < 1e-4
    swap = inverse.colour((1, 1, 3), [[0, 0, 1], [0, 1, 0]])
    np.testing.assert_allclose(swap(x)[0, 0, 0], [100, 10])


def test_walsh_matrices():
    """Orthonormal, with entries ±1/√n; without the signs that of Sylvester; channels by themselves."""
    A = inverse.Walsh((4, 2, 2), seed=3)
    a = np.asarray(A.matrix()).reshape(8, 2, 8, 2)
    np.testing.assert_allclose(np.abs(a[:, 0, :, 0]), 8**-0.5, rtol=1e-6)
    assert not a[:, 0, :, 1].any()
    np.testing.assert_allclose(A.matrix() @ A.matrix().T, np.eye(16), atol=1e-6)
    sylvester = np.array([[1]])
    for _ in range(3):
        sylvester = np.block([[sylvester, sylvester], [sylvester, -sylvester]])
    signs = np.asarray(A.signs).reshape(8, 2)
    np.testing.assert_allclose(a[:, 1, :, 1] * 8**0.5, sylvester * signs[:, 1], atol=1e-5)


def test_parseval():
    x = jnp.asarray(image((2, 6, 5, 2)))
    y = inverse.FourierMask(np.ones((6, 5), bool), (6, 5, 2))(x)
    np.testing.assert_allclose(jnp.sum(y**2, (1, 2, 3)), jnp.sum(x**2, (1, 2, 3)), rtol=1e-5)


def test_half_of_the_frequencies_of_a_real_image_say_everything():
    mask = np.zeros((6, 6), bool)
    mask[:, :4] = True  # what rfft2 keeps
    x = jnp.asarray(image((1, 6, 6, 1)))
    A = inverse.FourierMask(mask)
    np.testing.assert_allclose(jax.jit(lambda A, x: A.pinv(A(x)))(A, x), x, atol=1e-5)


def test_mri_keeps_the_lowest_columns():
    A = inverse.mri((4, 50, 1), 5.0, centre=0.08, seed=0)
    columns = np.unique(np.asarray(A.indices) % 50)
    assert len(columns) == 10
    assert {0, 1, 49} <= set(columns)
    assert A.measured == (40, 1, 2)


def test_radon_of_a_disc_is_its_chord():
    """2 √(r² − p²), from every angle; and from each the sum is the area."""
    n, r, fine = 48, 15.0, 8
    places = (np.arange(n * fine) + 0.5) / fine - n / 2
    inside = places[:, None] ** 2 + places**2 < r * r
    disc = inside.reshape(n, fine, n, fine).mean((1, 3))
    A = inverse.Radon((n, n, 1), 5)
    y = np.asarray(A(jnp.asarray(disc)[None, ..., None]))[0, ..., 0]
    p = np.arange(A.measured[1]) - (A.measured[1] - 1) / 2
    chord = 2 * np.sqrt(np.maximum(r * r - p * p, 0)) / n
    well_inside = np.abs(p) < 0.9 * r
    np.testing.assert_allclose(y[:, well_inside], np.broadcast_to(chord, y.shape)[:, well_inside], rtol=0.02)
    np.testing.assert_allclose(y.sum(1), np.pi * r * r / n, rtol=0.005)


def test_radon_turns():
    """At 0° the columns' sums, at 90° the rows'; a point is seen where the geometry says."""
    x = image((1, 8, 8, 1))
    y = np.asarray(inverse.Radon((8, 8, 1), [0.0, 90.0])(jnp.asarray(x)))[0, ..., 0]
    np.testing.assert_allclose(y[0, 2:-2], x[0, ..., 0].sum(0) / 8, atol=1e-5)
    np.testing.assert_allclose(y[1, 2:-2], x[0, ..., 0].sum(1) / 8, atol=1e-5)
    point = jnp.zeros((1, 21, 21, 1)).at[0, 15, 16, 0].set(1.0)  # 6 to the right and 5 down
    angles = np.array([20.0, 75.0, 130.0])
    y = np.asarray(inverse.Radon((21, 21, 1), angles)(point))[0, ..., 0]
    p = np.arange(y.shape[1]) - (y.shape[1] - 1) / 2
    expected = 6 * np.cos(np.deg2rad(angles)) + 5 * np.sin(np.deg2rad(angles))
    np.testing.assert_allclose((y * p).sum(1) / y.sum(1), expected, atol=0.2)
