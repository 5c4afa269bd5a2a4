"""What is compared with the goldens: numbers that depend on networks, losses and samplers alone, not on any config."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import score_sde as ss
from score_sde import parameters
from tests.samplers.truth import mixture

KEY = jax.random.key(42)
SDES = {"VP": ss.VP(), "VE": ss.VE(), "FlowMatching": ss.FlowMatching()}


def digest(arrays: dict) -> dict[str, np.ndarray]:
    """Sum, sum of squares, first and last number of each array: two arrays that differ have another digest."""
    found = {}
    for name, value in arrays.items():
        flat = np.asarray(value, np.float64).ravel()
        found[name] = np.array([flat.sum(), (flat**2).sum(), flat[0], flat[-1], flat.size])
    return found


def networks() -> dict[str, np.ndarray]:
    """The first parameters of every kind of network, from one key."""
    small = {"nf": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (8,)}
    make = {
        "ncsnpp": lambda rngs: ss.networks.NCSNpp(16, 3, **small, rngs=rngs),
        "ncsnpp_pyramids": lambda rngs: ss.networks.NCSNpp(
            16,
            3,
            **small,
            progressive="output_skip",
            progressive_input="input_skip",
            progressive_combine="cat",
            rngs=rngs,
        ),
        "ncsnpp_residual_classes": lambda rngs: ss.networks.NCSNpp(
            16, 3, **small, progressive="residual", num_classes=10, rngs=rngs
        ),
        "ddpmpp": lambda rngs: ss.networks.ddpmpp(16, 3, **small, rngs=rngs),
        "ddpm": lambda rngs: ss.networks.DDPM(16, 3, **(small | {"nf": 32}), rngs=rngs),
        "mlp": lambda rngs: ss.networks.MLP(2, width=16, depth=2, num_classes=3, rngs=rngs),
        "resnet": lambda rngs: ss.networks.ResNet((4, 4), width=16, depth=2, rngs=rngs),
    }
    found = {}
    for name, network in make.items():
        arrays, constants, _ = parameters.split(network(nnx.Rngs(KEY)))
        found |= {f"{name}/{path}": value for path, value in digest(arrays | constants).items()}
    return found


def losses() -> dict[str, np.ndarray]:
    """Each weighting with each density of times, and the discrete losses, of an exact denoiser."""
    truth = mixture()
    x0, keys = truth.sample(KEY, 8), jax.random.split(KEY, 8)
    weightings = {
        "score_matching": ss.losses.score_matching,
        "likelihood": ss.losses.likelihood,
        "min_snr": ss.losses.min_snr(),
        "truncated_snr": ss.losses.truncated_snr,
        "edm": ss.losses.edm(0.5),
    }
    times = {
        "uniform": ss.losses.Uniform(),
        "log_snr": ss.losses.LogSNRUniform(),
        "log_normal": ss.losses.LogNormal(),
        "logit_normal": ss.losses.LogitNormal(),
        "stratified": ss.losses.Stratified(),
    }
    found = {}
    for name, sde in SDES.items():
        model = truth.denoiser(sde)
        for w, weighting in weightings.items():
            found[f"{name}/{w}"] = ss.losses.denoising(model, x0, keys, weighting=weighting)
        for q, density in times.items():
            found[f"{name}/{q}"] = ss.losses.denoising(model, x0, keys, times=density, reduce="half_sum")
        if hasattr(sde, "num_scales"):
            found[f"{name}/discrete"] = ss.losses.discrete(model, x0, keys)
    return {name: np.asarray(value) for name, value in found.items()}


def samplers() -> dict[str, np.ndarray]:
    """Each sampler from one key, and likelihood and latent of its first samples."""
    s = ss.samplers
    draw = {
        "ddim": lambda *a: s.ddim(*a, steps=8),
        "ddim_eta": lambda *a: s.ddim(*a, steps=8, eta=1.0),
        "heun": lambda *a: s.heun(*a, steps=8),
        "heun_churn": lambda *a: s.heun(*a, steps=8, s_churn=4.0),
        "dpm_solver": lambda *a: s.dpm_solver(*a, steps=8, order=3),
        "dpm_solver_noise": lambda *a: s.dpm_solver(*a, steps=8, order=2, stochasticity=1.0),
        "unipc": lambda *a: s.unipc(*a, steps=8),
        "reverse_sde": lambda *a: s.reverse_sde(*a, steps=16),
        "reverse_sde_heun": lambda *a: s.reverse_sde(*a, steps=16, rule="heun"),
        "predictor_corrector": lambda *a: s.predictor_corrector(*a, steps=16, corrector=s.Langevin(snr=0.16)),
        "predictor_corrector_published": lambda *a: s.predictor_corrector(
            *a, steps=16, predictor=s.EulerMaruyama(), corrector=s.Langevin(0.16, 1, "batch"),
            time_grid=s.grids.published, final="mean",
        ),
        "annealed": lambda *a: s.predictor_corrector(
            *a, steps=16, predictor=s.Ancestral(), corrector=s.AnnealedLangevin(0.16)
        ),
        "ode": lambda *a: s.ode(*a, rtol=1e-3, atol=1e-3),
        "adaptive_sde": lambda *a: s.adaptive_sde(*a, rtol=0.1, atol=0.1),
    }  # fmt: skip
    found = {}
    for name in ("VP", "VE"):
        model = mixture().denoiser(SDES[name])
        for sampler, samples in draw.items():
            out = samples(model, KEY, 4, (2,))
            found[f"{name}/{sampler}"] = np.asarray(out.x)
            found[f"{name}/{sampler}/nfe"] = np.asarray(out.nfe)
        x = mixture().sample(KEY, 4)
        found[f"{name}/log_likelihood"] = np.asarray(ss.log_likelihood(model, x, KEY).log_prob)
        found[f"{name}/encode"] = np.asarray(ss.encode(model, x))
    return found


def guided() -> dict[str, np.ndarray]:
    """Classifier-free guidance of a network with random weights."""
    network = ss.networks.MLP(2, width=16, depth=2, num_classes=3, rngs=nnx.Rngs(KEY))
    model = ss.NetworkDenoiser(ss.VP(), network, predicts="noise")
    free = ss.guidance.classifier_free(model, 2.0, null={"label": 3}, interval=(0.1, 5.0))
    out = ss.samplers.dpm_solver(free, KEY, 4, (2,), steps=8, condition={"label": jnp.arange(4) % 3})
    return {"x": np.asarray(out.x)}
