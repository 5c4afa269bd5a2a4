"""Editing pictures: SDEdit, and pasting back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.samplers import edit, pasted
from score_sde.samplers.edit import first_time

TRUTH = ss.analytic.GaussianMixture([[1.5, 0.0], [-1.0, 1.0]], [0.2, 0.3], [0.4, 0.6])
SDES = {"VP": ss.VP(), "EDM": ss.EDM(), "FlowMatching": ss.FlowMatching()}
N = 4000


def edited(sde, strength, x, **options):
    return edit(TRUTH.denoiser(sde), jax.random.key(1), x, strength, **{"steps": 40, **options})


@pytest.mark.parametrize("name", SDES)
@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_draws_of_the_data_stay_draws(name, strength):
    x = TRUTH.sample(jax.random.key(0), N)
    out = edited(SDES[name], strength, x)
    fresh, other = (np.asarray(TRUTH.sample(jax.random.key(k), N)) for k in (2, 3))
    floor = ss.evaluation.sliced_w2(fresh, other, slices=100).value
    assert ss.evaluation.sliced_w2(np.asarray(out.x), fresh, slices=100).value < floor + 0.05
    assert int(jnp.max(out.nfe)) == 41  # the steps are those asked for, and the last denoising


def test_strength_is_how_much_changes():
    """A little moves a picture little; all of it forgets the picture."""
    x = jnp.broadcast_to(jnp.array([1.4, 0.1]), (N, 2))
    near = edited(SDES["VP"], 0.05, x).x
    assert float(jnp.mean(jnp.linalg.norm(near - x, axis=1))) < 0.4
    far = edited(SDES["VP"], 1.0, x).x
    assert float(jnp.mean(far[:, 0] > 0)) == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / N))
    assert first_time(SDES["VP"], 1.0) == SDES["VP"].t_max_sampling


def test_a_picture_does_not_depend_on_its_neighbours():
    x = TRUTH.sample(jax.random.key(0), 6)
    whole = edited(SDES["VP"], 0.5, x).x
    np.testing.assert_allclose(edited(SDES["VP"], 0.5, x[4:], start=4).x, whole[4:], atol=1e-5)


def test_pasting_back_keeps_every_bit():
    random = np.random.default_rng(0)
    original, new = (random.integers(0, 256, (2, 4, 4, 3), np.uint8) for _ in range(2))
    mask = random.random((4, 4, 1)) > 0.5
    found = np.asarray(pasted(original, new, mask))
    np.testing.assert_array_equal(found[:, ~mask[..., 0]], original[:, ~mask[..., 0]])
    np.testing.assert_array_equal(found[:, mask[..., 0]], new[:, mask[..., 0]])
    assert found.dtype == np.uint8


@pytest.mark.usefixtures("unchecked")
def test_refusals():
    x = jnp.zeros((2, 2))
    for strength in (0, -0.1, 1.5):
        with pytest.raises(ValueError, match=f"strength = {strength}; allowed: above 0"):
            edited(SDES["VP"], strength, x)
    with pytest.raises(ValueError, match="steps = 0; allowed"):
        edited(SDES["VP"], 0.5, x, steps=0)
    with pytest.raises(ValueError, match=r"mask has shape \(2,\) and type float32"):
        pasted(x, x, jnp.ones(2))
