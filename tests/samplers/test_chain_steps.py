"""Ancestral and DDIM steps on a discrete chain, guided and not, are those of guided-diffusion."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.samplers import ChainDDIM, LearnedVariance, grids

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference" / "adm_more"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the reference arrays are absent")
CASES = {
    entry["file"]: entry.get("cases", {}) for entry in json.loads((FOLDER / "index.json").read_text())["files"]
}["diffusion/loops.npz"] if FOLDER.exists() else {}  # fmt: skip


def last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(a, -3, -1)


class Gradient(ss.guidance.NoisyClassifier):
    """A classifier whose log p(y | x) has a gradient of one's own: ⟨network, x⟩."""

    def log_prob(self, x, t, y, condition=None):
        return jnp.sum(self.network * x, axis=(1, 2, 3))


class Logistic(ss.guidance.NoisyClassifier):
    """log p(y = 1 | x) = log sigmoid ⟨w, x⟩."""

    def logits(self, x, t, condition=None):
        a = jnp.sum(self.network * x, axis=(1, 2, 3))
        return jnp.stack([jnp.zeros_like(a), a], axis=1)


STEPS = {
    "p_sample": LearnedVariance(),
    "p_sample_guided": LearnedVariance(),
    "ddim_eta0.0": ChainDDIM(),
    "ddim_eta0.4": ChainDDIM(0.4),
    "ddim_eta1.0": ChainDDIM(1.0),
    "ddim_guided": ChainDDIM(),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("clip", [None, 1.0])
def test_step(name, clip):
    """At the first, the middle and the last levels; the original adds no noise in the step to the data.

    There its guidance takes the variance of another step, which a step from t to s does not know; samplers end before.
    """
    arrays, sde = np.load(FOLDER / "diffusion/steps.npz"), ss.VP(num_scales=40)
    both = np.concatenate([arrays["model_output_epsilon"], arrays["model_variance_output"]], axis=1)
    output = jnp.asarray(last(both))
    model = ss.FunctionDenoiser(sde, lambda x, t, condition: output, predicts="noise", beside=("variance",))
    condition = None
    if name.endswith("guided"):
        classifier = Gradient(sde, jnp.asarray(last(arrays["cond_gradient"])))
        model = ss.guidance.classifier(model, classifier)
        condition = {"label": jnp.ones(5, int)}
    t = ss.sde.discrete.time_of_level(arrays["t"], 40)
    predictor = dataclasses.replace(STEPS[name], clip=clip)
    x, noise = (jnp.asarray(last(arrays[key])) for key in ("x_t", "step_noise"))
    found, mean = predictor.step(model, x, t, t - 1 / 39, noise, condition)
    wanted = last(arrays[f"epsilon_learned_range/{'noclip' if clip is None else 'clip'}/{name}"])
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=2e-4, atol=2e-4)
    if name != "p_sample_guided":
        np.testing.assert_allclose(mean[0], wanted[0], rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("case", CASES)
def test_loop(case):
    """Whole respaced chains on an exact mixture."""
    arrays, options = np.load(FOLDER / "diffusion/loops.npz"), CASES[case]
    sde = ss.VP() if options["schedule"] == "linear" else ss.CosineChain(num_scales=1000)
    weights = arrays["mixture_weights"] / arrays["mixture_weights"].sum()
    truth = ss.analytic.GaussianMixture(last(arrays["mixture_means"]), arrays["mixture_stds"], weights)
    model = ss.FunctionDenoiser(sde, exact(truth, sde), predicts="noise", beside=("variance",))
    noise = last(arrays[f"{case}/noise"])
    steps, n, *shape = noise.shape
    condition = None
    if options["cond_fn"]:
        model = ss.guidance.classifier(model, Logistic(sde, jnp.asarray(last(arrays["guide_weights"]))))
        condition = {"label": jnp.ones(n, int)}
    clip = 1.0 if options["clip_denoised"] else None
    ddim = options["loop"] == "ddim_sample_loop"
    spacing = options["timestep_respacing"]
    kept = spacing if spacing.startswith("ddim") else (int(spacing),)
    out = ss.samplers.predictor_corrector(
        model,
        jax.random.key(0),
        n,
        tuple(shape),
        predictor=ChainDDIM(options.get("eta", 0.0), clip) if ddim else LearnedVariance(clip),
        time_grid=grids.respaced(sde, steps - 1, kept),
        x_init=last(arrays["latents"]),
        noise=noise[:-1, None],
        final="none",
        condition=condition,
    )
    np.testing.assert_allclose(out.x, last(arrays[f"{case}/states"])[-2], atol=1e-3)


def exact(truth, sde):
    """(ε̂ of the mixture on the chain, sin 3x)."""

    def function(x, t, condition):
        alpha, sigma = sde.discrete_alpha(t), sde.discrete_sigma(t)

        def log_density(x, alpha, sigma):
            gaps = x - alpha * truth.means
            variance = (alpha * truth.stds) ** 2 + sigma**2
            squares = jnp.sum(gaps**2, axis=tuple(range(1, gaps.ndim)))
            terms = jnp.log(truth.weights) - squares / (2 * variance) - x.size / 2 * jnp.log(variance)
            return jax.scipy.special.logsumexp(terms)

        score = jax.vmap(jax.grad(log_density))(x, alpha, sigma)
        eps = -sigma.reshape(-1, *(1,) * (x.ndim - 1)) * score
        return jnp.concatenate([eps, jnp.sin(3 * x)], axis=-1)

    return function


def test_guidance_keeps_what_the_model_says_beside_its_prediction():
    """The learned variance of the model, told its condition, reaches the predictor through every guidance."""
    sde = ss.VP(num_scales=40)

    def function(x, t, condition):
        y = jnp.broadcast_to(condition["label"].reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype), x.shape)
        return jnp.concatenate([y * x, jnp.sin(y + x)], axis=-1)

    model = ss.FunctionDenoiser(sde, function, predicts="noise", beside=("variance",))
    bad = ss.FunctionDenoiser(sde, lambda x, t, c: 0.5 * x, predicts="noise")
    g = ss.guidance
    for guided in (
        g.classifier_free(model, 3.0, null={"label": 0}),
        g.projected(model, 3.0, null={"label": 0}),
        g.auto(model, bad, 2.0),
        g.sum_of(model, (2.0, g.told(model, {"label": 0}))),
        g.classifier(model, Gradient(sde, jnp.ones((2, 3, 3, 1))), 2.0, keep=True),
    ):
        x, condition = jax.random.normal(jax.random.key(0), (2, 3, 3, 1)), {"label": jnp.array([1, 2])}
        x0, noise, outputs = guided.on_chain(x, 0.5, condition)
        np.testing.assert_array_equal(outputs["variance"], model.on_chain(x, 0.5, condition)[2]["variance"])
        alpha, sigma = sde.discrete_alpha(0.5), sde.discrete_sigma(0.5)
        np.testing.assert_allclose(alpha * x0 + sigma * noise, x, atol=1e-4)


def test_eta_out_of_range():
    with pytest.raises(ValueError, match=r"eta = 1.5; allowed: 0"):
        ChainDDIM(1.5)
