"""The bound level by level: improved-diffusion's numbers, and the entropy of an exact Gaussian on a respaced chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.likelihood import bound_by_level
from tests.losses.test_variational import FOLDER, last
from tests.samplers.test_chain_steps import exact

CASES = {"linear_40": (ss.VP(), 40, 1.0), "cosine_30_noclip": (ss.CosineChain(num_scales=1000), 30, None)}


@pytest.mark.skipif(not FOLDER.exists(), reason="the reference arrays are absent")
@pytest.mark.parametrize("case", CASES)
def test_terms_are_the_originals(case):
    """Every term; the last to the original's approximation of the normal distribution function."""
    arrays, (sde, kept, clip) = np.load(FOLDER / "bpd_loop.npz"), CASES[case]
    weights = arrays["mixture_weights"] / arrays["mixture_weights"].sum()
    truth = ss.analytic.GaussianMixture(last(arrays["mixture_means"]), arrays["mixture_stds"], weights)
    model = ss.FunctionDenoiser(sde, exact(truth, sde), predicts="noise", beside=("variance",))
    x0, noise = jnp.asarray(last(arrays["x_start"])), last(arrays[f"{case}/noise"])[::-1]
    found = bound_by_level(model, x0, jax.random.key(0), sections=(kept,), clip=clip, noise=noise)
    for ours, theirs in ((found.bits, f"{case}/vb"), (found.squared, f"{case}/mse")):
        wanted = arrays[theirs][:, ::-1]
        error = np.abs(ours - wanted) / (np.abs(wanted) + 0.01)
        assert error[:, 1:].max() < 2e-3, theirs
        assert error[:, 0].max() < 0.03, theirs
    np.testing.assert_allclose(found.prior, arrays[f"{case}/prior_bpd"], rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(found.total, found.prior + found.bits.sum(1), rtol=1e-6)


def test_a_sample_depends_on_its_index_alone():
    sde = ss.VP(beta_max=8.0, num_scales=12)
    model = ss.FunctionDenoiser(
        sde, lambda x, t, c: jnp.concatenate([0.5 * x, 0 * x], axis=-1), predicts="noise", beside=("variance",)
    )
    x0 = jax.random.normal(jax.random.key(0), (6, 3))
    whole = bound_by_level(model, x0, jax.random.key(1), levels=None)
    part = bound_by_level(model, x0[2:4], jax.random.key(1), levels=None, start=2)
    np.testing.assert_allclose(part.bits, whole.bits[2:4], rtol=1e-5)
    assert whole.levels.tolist() == list(range(12))
    respaced = bound_by_level(model, x0, jax.random.key(1), levels=None, sections=(4,))
    assert respaced.bits.shape == (6, 4)
