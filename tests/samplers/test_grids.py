"""Grids found from a model: closer to the exact flow with latents that the search has not seen, than every default."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.samplers import grids
from tests.samplers import truth

MODEL = truth.mixture().denoiser(ss.VP())
SHAPE, KEY = (2,), jax.random.key(0)
THIRD = functools.partial(ss.samplers.dpm_solver, order=3)


def distance(out, exact):
    """The median over latents, in data deviations."""
    return float(np.median(np.sqrt(np.mean((np.asarray(out.x) - exact) ** 2, axis=1)))) / truth.data_std()


@pytest.fixture(scope="module")
def unseen():
    """(key, exact flows): latents of another key, in 400 steps of order 4."""
    key = jax.random.key(77)
    return key, np.asarray(ss.samplers.dpm_solver(MODEL, key, 256, SHAPE, steps=400, order=4).x)


@pytest.fixture(scope="module")
def found():
    return grids.optimised(MODEL, KEY, 9, SHAPE, THIRD, n=48)


def test_ten_evaluations_come_closer_than_any_form_or_order_on_the_default_grid(found, unseen):
    key, exact = unseen
    defaults = []
    for form in ("data", "noise"):
        for order in (1, 2, 3, 4):
            steps = 9 - (order == 4)
            out = ss.samplers.dpm_solver(MODEL, key, 256, SHAPE, steps=steps, order=order, form=form)
            defaults.append(distance(out, exact))
        for order in (1, 2, 3):
            steps = 9 - (order == 3)
            out = ss.samplers.unipc(MODEL, key, 256, SHAPE, steps=steps, order=order, form=form)
            defaults.append(distance(out, exact))
    out = THIRD(MODEL, key, 256, SHAPE, time_grid=found)
    assert out.nfe[0] == 10
    assert distance(out, exact) < 0.6 * min(defaults)


def test_it_is_a_grid(found):
    assert found.shape == (10,)
    assert (np.diff(found) < 0).all()
    assert found[0] == pytest.approx(MODEL.sde.t_max_sampling)
    assert found[-1] >= MODEL.sde.t_min_sampling
    given = grids.given(MODEL.sde, 9, found.tolist())
    np.testing.assert_array_equal(given, found)
    with pytest.raises(ValueError, match="times has 10 entries; allowed: steps"):
        grids.given(MODEL.sde, 8, found.tolist())


def test_the_search_is_reproducible_and_never_worse_than_where_it_begins():
    def error(times):
        key, n = jax.random.key(3), 16
        exact = ss.samplers.ddim(MODEL, key, n, SHAPE, time_grid=np.asarray(grids.log_snr(MODEL.sde, 64))).x
        return jnp.sqrt(
            jnp.mean((ss.samplers.ddim(MODEL, key, n, SHAPE, time_grid=times).x - exact) ** 2, axis=1)
        ).mean()

    options = {"n": 16, "exact_steps": 64, "begin": (grids.karras,), "iterations": 4}
    one, again = (grids.optimised(MODEL, jax.random.key(3), 3, SHAPE, ss.samplers.ddim, **options) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert error(one) < error(np.asarray(grids.karras(MODEL.sde, 3)))


def test_what_cannot_be_searched():
    with pytest.raises(ValueError, match="n = 0, exact_steps = 256; allowed: n >= 1"):
        grids.optimised(MODEL, KEY, 9, SHAPE, THIRD, n=0)
