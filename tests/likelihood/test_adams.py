"""Adams' method: its weights, its order, its error estimate, and that it can be differentiated."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_sde.likelihood.adams import Adams, _weights


def solve(field, y0, steps, *, t0=0.0, t1=2.0, points=4, **options):
    """With equal steps, as many as are given, unless the options say otherwise."""
    options = {"stepsize_controller": diffrax.ConstantStepSize(), "dt0": (t1 - t0) / steps, "max_steps": 2048} | options
    return diffrax.diffeqsolve(diffrax.ODETerm(field), Adams(points), t0, t1, y0=y0, throw=False, **options)


def test_weights_of_equal_steps_are_those_of_adams_bashforth_and_moulton():
    with jax.enable_x64(True):
        predictor, corrector, error = map(np.asarray, _weights(jnp.asarray(-np.arange(4.0)), jnp.asarray(4)))
    np.testing.assert_allclose(24 * predictor, [55, -59, 37, -9], atol=1e-12)
    moulton = np.append(0, predictor) + corrector
    np.testing.assert_allclose(720 * moulton, [251, 646, -264, 106, -19], atol=1e-11)
    without_oldest = moulton - error  # the corrector of one order less
    np.testing.assert_allclose(24 * without_oldest, [9, 19, -5, 1, 0], atol=1e-12)


@pytest.mark.parametrize("known", [1, 2, 3, 4])
def test_weights_of_any_steps_integrate_polynomials_through_the_known_points(known):
    """The predictor to degree known − 1, with the corrector one more, and the unknown points count nothing."""
    nodes = np.array([0.0, -0.7, -1.9, -2.2])
    with jax.enable_x64(True):
        predictor, corrector, error = map(np.asarray, _weights(jnp.asarray(nodes), jnp.asarray(known)))
    extended, moulton = np.append(1.0, nodes), np.append(0, predictor) + corrector
    for degree in range(known):
        assert predictor @ nodes**degree == pytest.approx(1 / (degree + 1), abs=1e-12)
    for degree in range(known + 1):
        assert moulton @ extended**degree == pytest.approx(1 / (degree + 1), abs=1e-12)
    for degree in range(known):
        assert (moulton - error) @ extended**degree == pytest.approx(1 / (degree + 1), abs=1e-12)
    assert not predictor[known:].any()
    assert not moulton[known + 1 :].any()


@pytest.mark.parametrize("points", [2, 3, 4])
def test_converges_with_its_order(points):
    """Of y' = y sin⁴ t, which begins so flat that the low order of the first steps does not show."""
    with jax.enable_x64(True):
        exact = np.exp(3 * 2 / 8 - np.sin(4) / 4 + np.sin(8) / 32)

        def error(steps):
            end = solve(lambda t, y, _: y * jnp.sin(t) ** 4, jnp.ones(()), steps, points=points)
            return abs(float(end.ys[-1]) - exact)

        coarse, fine = error(128), error(256)
    assert np.log2(coarse / fine) == pytest.approx(points + 1, abs=0.5)


@pytest.mark.parametrize("ends", [(0.0, 2.0), (2.0, 0.0)])
def test_error_follows_the_tolerance_either_way(ends):
    """Of y = exp(sin t), one evaluation a step, at 1e-4 and 1e-8."""
    with jax.enable_x64(True):
        for tolerance in (1e-4, 1e-8):
            calls = []

            def field(t, y, _, calls=calls):
                jax.debug.callback(lambda: calls.append(1))
                return y * jnp.cos(t)

            t0, t1 = ends
            y0 = jnp.exp(jnp.sin(jnp.asarray(t0)))
            controller = diffrax.PIDController(rtol=tolerance, atol=tolerance, factormax=2.0)
            end = solve(field, y0, 1, t0=t0, t1=t1, stepsize_controller=controller, dt0=(t1 - t0) * 1e-3)
            jax.block_until_ready(end.ys)
            jax.effects_barrier()
            assert abs(float(end.ys[-1]) - np.exp(np.sin(t1))) < 10 * tolerance
            assert len(calls) == int(end.stats["num_steps"]) + 1


def test_gradient_is_the_difference_quotient():
    """Also of a sample that arrives first and waits for another."""
    with jax.enable_x64(True):

        def end(y0, rate):
            controller = diffrax.PIDController(rtol=1e-6, atol=1e-6, factormax=2.0)
            return solve(lambda t, y, _: -rate * y * jnp.cos(t), y0, 1, stepsize_controller=controller, dt0=1e-3).ys[-1]

        both = lambda rate: jax.vmap(end)(jnp.ones(2), rate * jnp.array([0.1, 9.0]))  # noqa: E731
        gradient = jax.jacrev(both)(1.0)
        quotient = (both(1.0 + 1e-4) - both(1.0 - 1e-4)) / 2e-4
    np.testing.assert_allclose(gradient, quotient, rtol=2e-3, atol=1e-4)
