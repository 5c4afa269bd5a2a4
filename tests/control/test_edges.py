"""Canny's edges: those of scikit-image, and lines where a picture has lines."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_sde.control import Edges
from score_sde.control.edges import canny, edge_f1

THEIRS = np.load(
    Path(__file__).parent / "scikit_image_canny.npz"
)  # skimage.feature.canny 0.26.0 of smooth random pictures


@pytest.mark.parametrize("name", [name for name in THEIRS.files if name != "x"])
def test_they_are_those_of_scikit_image(name):
    std, low, high = map(float, name.split()[1:])
    found = jax.vmap(lambda x: canny(x, std, low, high))(jnp.asarray(THEIRS["x"] / 255, jnp.float32))
    assert float(np.mean(np.asarray(found) != THEIRS[name])) <= 2e-3  # float32 decides a tie otherwise here and there


def test_a_step_has_one_line_at_the_step():
    x = np.zeros((16, 16, 1), np.uint8)
    x[:, 9:] = 255
    edges = np.asarray(Edges((16, 16, 1))(jax.random.key(0), jnp.asarray(x)))[1:-1, :, 0]
    np.testing.assert_array_equal(np.flatnonzero(edges.any(axis=0)), [8, 9])  # as strong on both sides of it


def test_a_faint_line_is_an_edge_only_where_it_joins_a_strong_one():
    x = np.zeros((40, 24), np.float32)
    x[:, 12:] = np.linspace(0.04, 0.6, 40)[:, None]  # a step that fades, and one that is faint everywhere
    x[:, :4] = 0.05
    edges = np.asarray(canny(jnp.asarray(x), 1.0, 0.1, 0.5))
    assert edges[20:-1, 10:14].any(axis=1).all()
    assert edges[6, 10:14].any()
    assert not edges[:, :8].any()


def test_f1_counts_pixels_without_tolerance():
    wanted = np.zeros((3, 4, 4), bool)
    wanted[:2, 1] = True
    found = wanted.copy()
    found[1, 1, :2], found[1, 2, :2] = False, True
    np.testing.assert_allclose(edge_f1(found, wanted), [1, 0.5, 1])
    np.testing.assert_allclose(edge_f1(np.roll(wanted, 1, axis=1), wanted), [0, 0, 1])
