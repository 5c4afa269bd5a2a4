"""Images made from a picture, as leaves of a condition."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_sde.conditions import Conditions, Leaf
from score_sde.control import Edges, Hidden, LowResolution, NoiseLevel, Relief
from score_sde.control.edges import agrees as edges_agree
from score_sde.control.low_resolution import agrees as low_resolution_agrees

GREY, COLOUR = (16, 16, 1), (16, 16, 3)
KEYS = jax.random.split(jax.random.key(0), 400)


def pictures(n, shape=COLOUR):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)


def test_a_leaf_is_made_from_the_picture_with_the_key_of_its_example():
    conditions = Conditions({"rest": Leaf(made=Hidden(COLOUR), null=0.0, dropout=0.0)})
    batch = {"data": pictures(4)}
    assert conditions.entries() == ("data",)
    together = conditions.of(batch, KEYS[:4])["rest"]
    alone = conditions.of({"data": batch["data"][2:3]}, KEYS[2:3])["rest"]
    np.testing.assert_array_equal(together[2:3], alone)
    with pytest.raises(
        ValueError, match="condition 'rest' is made from pictures with a random key for each; give keys"
    ):
        conditions.of(batch)


def test_hidden_pictures_are_their_own_where_they_are_shown():
    x = pictures(400)
    leaf = np.asarray(jax.vmap(Hidden(COLOUR))(KEYS, x))
    mask = leaf[..., :1]
    assert set(np.unique(mask)) == {0.0, 1.0}
    np.testing.assert_allclose(leaf[..., 1:], np.where(mask == 1, 0, x / 127.5 - 1), atol=1e-6)
    assert 0.15 < mask.mean() < 0.6
    assert mask.any(axis=(1, 2, 3)).mean() > 0.99


@pytest.mark.parametrize(("kind", "low", "high"), [("box", 0.05, 0.6), ("outside", 0.4, 0.95), ("strokes", 0.0, 0.75)])
def test_each_kind_of_mask_hides_what_it_should(kind, low, high):
    chances = dict.fromkeys(("box", "outside", "strokes"), 0.0) | {kind: 1.0}
    masks = np.asarray(jax.vmap(Hidden((32, 32, 1), **chances))(KEYS[:100], pictures(100, (32, 32, 1))))[..., 0]
    shares = masks.mean(axis=(1, 2))
    assert low <= shares.min()
    assert shares.max() <= high
    assert shares.std() > 0.02
    if kind != "strokes":
        one = masks if kind == "box" else 1 - masks
        rows, columns = one.any(axis=2).sum(axis=1), one.any(axis=1).sum(axis=1)
        np.testing.assert_array_equal(one.sum(axis=(1, 2)), rows * columns)  # a rectangle
        assert rows.min() == 8
        assert rows.max() == 24


def test_a_low_resolution_has_the_mean_of_each_block():
    x = pictures(3)
    y = jax.vmap(LowResolution(COLOUR, factor=4))(KEYS[:3], x)
    wanted = (x / 127.5 - 1).reshape(3, 4, 4, 4, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(y, wanted, atol=1e-5)


def test_noise_of_a_low_resolution_has_the_level_that_is_told():
    x = np.full((400, *COLOUR), 100, np.uint8)
    noise = (0.1, 0.9)
    y = np.asarray(jax.vmap(LowResolution(COLOUR, factor=2, noise=noise))(KEYS, x)) - (100 / 127.5 - 1)
    told = np.asarray(jax.vmap(NoiseLevel(COLOUR, noise=noise))(KEYS, x))
    assert told.min() >= 0.1
    assert told.max() <= 0.9
    ratio = y.std(axis=(1, 2, 3)) / told
    assert abs(ratio.mean() - 1) < 0.02
    assert ratio.std() < 0.08


def test_a_relief_fills_its_range_and_a_constant_picture_has_none():
    x = pictures(3, GREY)
    x[2] = 7
    maps = np.asarray(jax.vmap(Relief(GREY))(KEYS[:3], x))
    np.testing.assert_allclose(maps.min(axis=(1, 2, 3)), [-1, -1, 0], atol=1e-6)
    np.testing.assert_allclose(maps.max(axis=(1, 2, 3)), [1, 1, 0], atol=1e-6)


def test_levels_and_numbers_in_minus_one_to_one_give_the_same():
    levels = np.random.default_rng(0).integers(0, 17, (16, 16, 1), np.uint8)
    of_levels = Edges(GREY, levels=17)(KEYS[0], levels)
    of_numbers = Edges(GREY, levels=None)(KEYS[0], jnp.asarray(levels / 8 - 1, jnp.float32))
    assert float(jnp.mean(of_levels != of_numbers)) < 0.02


EDGES = Conditions({"edges": Leaf(made=Edges(GREY), null=0.0)})


def test_for_samples_the_image_itself_is_given():
    edges = np.zeros((2, *GREY), np.float32)
    np.testing.assert_array_equal(EDGES.make(edges=edges)["edges"], edges)
    assert EDGES.make(3)["edges"].shape == (3, *GREY)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EDGES.make(edges=np.zeros((2, 8, 8, 1))), "has shape (2, 8, 8, 1); needed: (n, 16, 16, 1)"),
        (
            lambda: EDGES.make(edges=np.full((2, *GREY), 255)),
            "from 255 to 255; needed: from 0 to 1 (of bytes: x / 255)",
        ),
        (lambda: LowResolution((16, 15, 3)), "factor = 4 for a picture of (16, 15); it must divide both sides"),
        (lambda: LowResolution(COLOUR, noise=(0.3, 0.1)), "noise = (0.3, 0.1); allowed: (least, largest)"),
        (lambda: Hidden(COLOUR, box=0.9), "allowed: probabilities whose sum is 1"),
        (lambda: Edges(GREY, low=0.3, high=0.1), "allowed: 0 < low <= high"),
        (lambda: Edges((16, 16)), "a control image is made from (height, width, channels)"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_judges_of_edges_and_of_low_resolutions():
    x = pictures(6, (32, 32, 1))
    noisy = np.clip(x + np.random.default_rng(1).normal(0, 5, x.shape), 0, 255).astype(np.uint8)
    for agrees in (edges_agree, low_resolution_agrees):
        assert agrees(x, {"data": x})["all"].mean() == 1
        assert agrees(noisy, {"data": x})["all"].mean() > agrees(x[::-1], {"data": x})["all"].mean() + 0.2
    error = low_resolution_agrees(noisy, {"data": x})["error"]
    assert error.mean() == pytest.approx(5 / 127.5 / 4, rel=0.15)  # the mean of 16 pixels
