"""The SDEs against arrays computed with the original; against its float64 columns wherever its float32 loses digits."""

import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss

CASES = {
    "vpsde": lambda p: ss.VP(p["beta_min"], p["beta_max"], num_scales=p["N"]),
    "subvpsde": lambda p: ss.SubVP(p["beta_min"], p["beta_max"]),
    "vesde": lambda p: ss.VE(p["sigma_min"], p["sigma_max"], num_scales=p["N"]),
}


@pytest.fixture(params=[f"{name}_{which}" for name in CASES for which in ("default", "other")])
def case(request, reference):
    arrays, entry = reference(f"sde/{request.param}.npz")
    return arrays, CASES[request.param.split("_")[0]](entry["parameters"]), entry["parameters"]["N"]


def check_against_float64_columns(arrays, sde, rtol):
    t, x, z = (jnp.asarray(arrays[name]) for name in ("t", "x", "z"))
    if rtol < 1e-7:
        t, x, z = (value.astype(jnp.float64) for value in (t, x, z))
    np.testing.assert_allclose(sde.alpha(t), arrays["marginal_mean_coeff_f64"], rtol=rtol)
    np.testing.assert_allclose(sde.sigma(t), arrays["marginal_std_f64"], rtol=rtol)
    np.testing.assert_allclose(sde.drift_rate(t), arrays["drift_coeff_f64"], rtol=rtol)
    np.testing.assert_allclose(sde.diffusion(t), arrays["diffusion_f64"], rtol=rtol)
    np.testing.assert_allclose(sde.prior_log_prob(z), arrays["prior_logp_f64"], rtol=rtol)
    np.testing.assert_allclose(sde.drift(x, t), arrays["drift_coeff_f64"][:, None, None, None] * x, rtol=rtol)
    mean = arrays["marginal_mean_coeff_f64"][:, None, None, None] * x
    np.testing.assert_allclose(sde.perturb(x, t, jnp.zeros_like(x)), mean, rtol=rtol)


def test_float32_keeps_its_digits_at_every_time(case):
    arrays, sde, _ = case
    assert arrays["t"].min() <= 1e-5
    check_against_float64_columns(arrays, sde, rtol=1e-5)


def test_float64_is_exact(case, x64):
    arrays, sde, _ = case
    check_against_float64_columns(arrays, sde, rtol=1e-9)


def test_original_float32_where_it_is_right(case):
    arrays, sde, _ = case
    late = arrays["t"] >= 0.02
    t, x = jnp.asarray(arrays["t"][late]), jnp.asarray(arrays["x"][late])
    np.testing.assert_allclose(sde.sigma(t), arrays["marginal_std"][late], rtol=2e-5)
    np.testing.assert_allclose(sde.diffusion(t), arrays["diffusion"][late], rtol=2e-5)
    np.testing.assert_allclose(sde.drift(x, t), arrays["drift"][late], rtol=2e-5)
    np.testing.assert_allclose(sde.perturb(x, t, 0 * x), arrays["marginal_mean"][late], rtol=2e-5)


def test_discretize_is_one_step_of_the_originals_chain(case):
    arrays, sde, scales = case
    t, x = jnp.asarray(arrays["t"]), jnp.asarray(arrays["x"])
    f, g = sde.discretize(x, t, t - 1 / scales)
    np.testing.assert_allclose(f, arrays["discretize_f"], atol=2e-6)
    # sub-VP's own float32 diffusion is off below t = 0.02, so its Euler step is compared through the float64 column.
    expected = arrays["diffusion_f64"] / np.sqrt(scales) if isinstance(sde, ss.SubVP) else arrays["discretize_G"]
    np.testing.assert_allclose(g, expected, rtol=1e-4)


def test_discretize_on_the_originals_grid(case):
    """Between neighbours of the sampler's grid a step covers one level; over the whole grid none is left out."""
    arrays, sde, scales = case
    if not hasattr(sde, "num_scales"):
        pytest.skip("sub-VP has no discrete chain")
    grid, index = jnp.asarray(arrays["grid"]), arrays["grid_index"]
    _, g = sde.discretize(jnp.zeros((len(grid), 1)), grid, jnp.append(grid[1:], grid[-1] - 1 / scales))
    if isinstance(sde, ss.VP):
        expected = np.sqrt(sde.discrete_betas())[index]
    else:
        expected = np.sqrt(np.diff(sde.discrete_sigmas() ** 2, prepend=0.0))[index]
    once = np.append(np.diff(index) == -1, True)  # in float32 the original's index repeats at one place for N = 2000
    assert once.mean() > 0.99
    np.testing.assert_allclose(np.asarray(g)[once], expected[once], rtol=1e-4)


def test_discrete_tables(case):
    arrays, sde, _ = case
    if "discrete_sigmas" in arrays:
        np.testing.assert_allclose(sde.discrete_sigmas(), arrays["discrete_sigmas"], rtol=5e-5)
    if "discrete_betas" in arrays:
        np.testing.assert_allclose(sde.discrete_betas(), arrays["discrete_betas"], rtol=5e-5)
        np.testing.assert_allclose(sde.discrete_alphas_cumprod(), arrays["alphas_cumprod"], rtol=5e-5)
        np.testing.assert_allclose(
            np.sqrt(1 - sde.discrete_alphas_cumprod()), arrays["sqrt_1m_alphas_cumprod"], rtol=5e-4
        )
