"""The losses against those of the original, at its stored times, levels and noise."""

import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.sde.discrete import level_at, time_of_level

SDES = {"vp": ss.VP(), "subvp": ss.SubVP(), "ve": ss.VE()}
BOTH = (("mean", 1), ("half_sum", 0))


def mixture(arrays):
    weights = arrays["mixture_weights"] / arrays["mixture_weights"].sum()
    return ss.analytic.GaussianMixture(arrays["mixture_means"], arrays["mixture_stds"], weights)


def check_continuous(arrays, model):
    x0, t, z = (jnp.asarray(arrays[key]) for key in ("batch", "t", "z"))
    for reduce, mean in BOTH:
        for weighting, weighted in ((ss.losses.score_matching, 0), (ss.losses.likelihood, 1)):
            loss = ss.losses.denoising_at(model, x0, t, z, weighting=weighting, reduce=reduce)
            np.testing.assert_allclose(loss.mean(), arrays[f"loss_mean{mean}_lw{weighted}"], rtol=1e-4)


@pytest.mark.parametrize("name", SDES)
def test_continuous_losses(reference, name):
    arrays, _ = reference(f"losses/analytic_{name}.npz")
    check_continuous(arrays, mixture(arrays).denoiser(SDES[name]))


@pytest.mark.parametrize(
    "name", ["vp_cifar10_ddpmpp_continuous", "ve_cifar10_ncsnpp_continuous", "subvp_cifar10_ddpmpp_deep_continuous"]
)
def test_losses_of_stored_scores(reference, name):
    """With the score that the original's network returned, whatever network that was."""
    arrays, _ = reference(f"losses/{name}.npz")
    sde, stored = SDES[name.split("_")[0]], jnp.asarray(arrays["score"])
    x0, t, z = (jnp.asarray(arrays[key]) for key in ("batch", "t", "z"))
    np.testing.assert_allclose(
        sde.perturb(x0, t, z), arrays["perturbed"], atol=1e-5 * np.abs(arrays["perturbed"]).max()
    )
    check_continuous(arrays, ss.FunctionDenoiser(sde, lambda x, t, condition: stored, predicts="score"))


@pytest.mark.parametrize("kind", ["ddpm", "smld"])
def test_discrete_losses(reference, kind):
    arrays, _ = reference(f"losses/{kind}_analytic.npz")
    sde = ss.VP() if kind == "ddpm" else ss.VE()
    # SMLD's own label 0 is the largest sigma; DDPM's label 0 is the smallest beta.
    k = arrays["labels"] if kind == "ddpm" else sde.num_scales - 1 - arrays["labels"]
    output = jnp.asarray(arrays["model_output"])
    sigmas = sde.discrete_sigma(time_of_level(k, sde.num_scales))[:, None, None, None]
    seen = {}

    def score(x, t, condition):
        seen["x"] = x
        return output if kind == "smld" else -output / sigmas

    model = ss.FunctionDenoiser(sde, score, predicts="score")
    for reduce, mean in BOTH:
        loss = ss.losses.discrete_at(
            model, jnp.asarray(arrays["batch"]), k, jnp.asarray(arrays["noise"]), reduce=reduce
        )
        np.testing.assert_allclose(loss.mean(), arrays[f"loss_mean{mean}"], rtol=1e-4)
    np.testing.assert_allclose(seen["x"], arrays["perturbed"], atol=1e-5 * np.abs(arrays["perturbed"]).max())


def test_levels_and_their_times_agree():
    """Every level is found again from its time in float32, where cutting down is one rounding away from k − 1."""
    for levels in (10, 500, 1000, 2000, 4001):
        k = np.arange(levels)
        np.testing.assert_array_equal(level_at(time_of_level(k, levels), levels), k)
    t = time_of_level(np.arange(1000), 1000)
    np.testing.assert_allclose(ss.VP().discrete_sigma(t), np.sqrt(1 - ss.VP().discrete_alphas_cumprod()), rtol=1e-5)
    np.testing.assert_allclose(ss.VP().discrete_alpha(t), np.sqrt(ss.VP().discrete_alphas_cumprod()), rtol=1e-5)
    np.testing.assert_allclose(ss.VE().discrete_sigma(t), ss.VE().discrete_sigmas(), rtol=1e-6)
