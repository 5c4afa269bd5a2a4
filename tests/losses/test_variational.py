"""The chain's reverse steps, the variational and the hybrid loss, against iDDPM's numbers and closed forms."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde import losses
from score_sde.losses.intervals import log_mass
from score_sde.samplers import grids

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference" / "adm_more" / "diffusion"
needs_reference = pytest.mark.skipif(not FOLDER.exists(), reason="the reference arrays are absent")
CHAINS = {
    "linear_50": ss.VP(num_scales=50),
    "cosine_40": ss.CosineChain(num_scales=40),
}


def last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(a, -3, -1)


@needs_reference
@pytest.mark.parametrize("name", CHAINS)
def test_tables(name, x64):
    arrays, sde = np.load(FOLDER / "schedules.npz"), CHAINS[name]
    np.testing.assert_allclose(sde.discrete_betas(), arrays[f"betas_{name}"], rtol=1e-12)
    steps = sde.reverse_steps()
    np.testing.assert_allclose(steps.of_x0, arrays[f"posterior_mean_coef1_{name}"], rtol=1e-11)
    np.testing.assert_allclose(steps.of_x, arrays[f"posterior_mean_coef2_{name}"], rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(jnp.log(steps.small), arrays[f"posterior_log_variance_clipped_{name}"], rtol=1e-11)


@needs_reference
@pytest.mark.parametrize("sections", [(250,), "ddim50", (10, 20, 30)])
def test_respacing(sections):
    name = sections if isinstance(sections, str) else "-".join(map(str, sections))
    wanted = np.load(FOLDER / "schedules.npz")[f"spaced_1000_{name}_timestep_map"]
    np.testing.assert_array_equal(grids.kept_levels(1000, sections), wanted)
    sde = ss.VP()
    times = jnp.asarray(grids.respaced(sde, 1, sections))
    np.testing.assert_array_equal(ss.denoiser.chain_label(sde, times), wanted[::-1])


def test_respacing_refuses():
    with pytest.raises(ValueError, match="no stride leaves 33"):
        grids.kept_levels(50, "ddim33")
    with pytest.raises(ValueError, match="60 of 50 levels"):
        grids.kept_levels(50, (60,))


def stub(arrays, sde) -> ss.FunctionDenoiser:
    """Its outputs are stored, whatever it is given."""
    output = jnp.asarray(
        last(np.concatenate([arrays["model_output_epsilon"], arrays["model_variance_output"]], axis=1))
    )
    return ss.FunctionDenoiser(sde, lambda x, t, condition: output, predicts="noise", beside=("variance",))


@needs_reference
def test_terms_are_the_originals():
    """‖ε̂ − ε‖² and L_k; L_0 to the original's approximation of the normal distribution function."""
    arrays, sde = np.load(FOLDER / "steps.npz"), ss.VP(num_scales=40)
    k = jnp.asarray(arrays["t"])
    terms = losses.variational_at(stub(arrays, sde), *(jnp.asarray(last(arrays["x_start"])), k, last(arrays["noise"])))
    prefix = "epsilon_learned_range/loss_"
    np.testing.assert_allclose(terms.squared, arrays[f"{prefix}mse/mse"], rtol=2e-5)
    bits = arrays[f"{prefix}mse/vb"]
    assert k[0] == 0
    np.testing.assert_allclose(terms.bits[1:], bits[1:], rtol=1e-4)
    np.testing.assert_allclose(terms.bits[0], bits[0], rtol=0.02)
    rescaled = terms.squared + 40 / 1000 * terms.bits
    np.testing.assert_allclose(rescaled[1:], arrays[f"{prefix}rescaled_mse/loss"][1:], rtol=1e-4)


MEAN, STD = 0.3, 0.6


def gaussian_model(sde):
    """Exact for data N(MEAN, STD²) in each dimension, with the v that makes the reverse step exact."""
    steps = sde.reverse_steps()

    def function(x, t, condition):
        k = ss.sde.discrete.level_at(t, sde.num_scales)
        alpha, sigma = (a(t)[:, None] for a in (sde.discrete_alpha, sde.discrete_sigma))
        total = alpha**2 * STD**2 + sigma**2
        noise = sigma * (x - alpha * MEAN) / total
        of_x0, small, large = (part[k][:, None] for part in (steps.of_x0, steps.small, steps.large))
        true_small = jnp.where(k[:, None] == 0, 0.0, small)
        variance = true_small + of_x0**2 * STD**2 * sigma**2 / total
        w = (jnp.log(variance) - jnp.log(small)) / (jnp.log(large) - jnp.log(small))
        return jnp.concatenate([noise, jnp.broadcast_to(2 * w - 1, x.shape)], axis=-1)

    return ss.FunctionDenoiser(sde, function, predicts="noise", beside=("variance",))


@pytest.mark.parametrize(
    "sde", [ss.VP(beta_max=8.0, num_scales=12), ss.CosineChain(num_scales=12)], ids=["VP", "cosine"]
)
def test_bound_of_an_exact_gaussian_is_its_entropy(sde):
    """The reverse steps are exact, so Σ E L_k + KL(q(x_N | x_0) ‖ prior) is the entropy, and no bound is lower."""
    n, dimension = 20_000, 3
    x0 = MEAN + STD * jax.random.normal(jax.random.key(0), (n, dimension))
    total = jnp.zeros(n)
    for k in range(12):
        noise = jax.random.normal(jax.random.key(k + 1), x0.shape)
        total += losses.variational_at(gaussian_model(sde), x0, jnp.full(n, k), noise, levels=None).bits
    alpha_bar = sde.discrete_alphas_cumprod()[-1]
    last_mean, last_variance = np.sqrt(alpha_bar) * MEAN, alpha_bar * STD**2 + 1 - alpha_bar
    mismatch = (last_mean**2 + last_variance - 1 - np.log(last_variance)) / 2  # KL(q(x_N) ‖ prior)
    prior = np.mean((alpha_bar * x0**2 - alpha_bar - np.log(1 - alpha_bar)) / 2) / np.log(2)
    entropy = (np.log(2 * np.pi * np.e * STD**2) / 2 + mismatch) / np.log(2)
    assert float(total.mean()) + float(prior) == pytest.approx(entropy, abs=5 * float(total.std()) / np.sqrt(n))


def test_hybrid_leaves_the_gradient_of_the_mean_alone():
    sde = ss.VP(num_scales=40)
    x0 = jnp.round(127.5 * (jax.random.uniform(jax.random.key(0), (8, 4, 1)) * 2 - 1)) / 127.5
    keys = jax.random.split(jax.random.key(1), 8)

    def model(a, b):
        return ss.FunctionDenoiser(
            sde, lambda x, t, c: jnp.concatenate([a * x, b * x], axis=-1), predicts="noise", beside=("variance",)
        )

    def simple(a):
        return losses.hybrid(model(a, 0.1), x0, keys, weight=0.0).mean()

    def whole(a, b):
        return losses.hybrid(model(a, b), x0, keys, weight=5.0).mean()

    of_mean, of_variance = jax.grad(whole, (0, 1))(0.4, 0.1)
    assert float(of_mean) == pytest.approx(float(jax.grad(simple)(0.4)), rel=1e-5)
    assert abs(float(of_variance)) > 1e-3
    assert np.isfinite(float(jax.grad(lambda a: losses.variational(model(a, 0.1), x0, keys).mean())(0.4)))


def test_mass_of_all_levels_is_one():
    levels = jnp.linspace(-1, 1, 17)[:, None]
    mass = jnp.exp(log_mass(levels, jnp.full_like(levels, 0.2), jnp.full_like(levels, 0.3), 17))
    assert float(mass.sum()) == pytest.approx(1, abs=1e-5)


def test_refusals():
    x0, keys = jnp.zeros((2, 3)), jax.random.split(jax.random.key(0), 2)
    with pytest.raises(ValueError, match="no output 'variance'"):
        losses.hybrid(ss.FunctionDenoiser(ss.VP(), lambda x, t, c: x, predicts="noise"), x0, keys)
    with pytest.raises(ValueError, match="num_scales = 12: the last β"):
        ss.VP(num_scales=12).discrete_betas()
    with pytest.raises(ValueError, match="no chain of DDPM's kind"):
        losses.variational(ss.FunctionDenoiser(ss.VE(), lambda x, t, c: x, predicts="noise"), x0, keys)
