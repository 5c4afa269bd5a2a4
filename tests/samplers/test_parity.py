"""Every predictor, corrector, complete run and ODE of the original code, with its own noise and times."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde.samplers import Ancestral, AnnealedLangevin, EulerMaruyama, Langevin, ReverseDiffusion

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference" / "score_sde_pytorch"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"the reference arrays are absent: {FOLDER.name} in shared")


def entries(kind: str) -> list[dict]:
    if not FOLDER.exists():
        return []
    return [entry for entry in json.loads((FOLDER / "index.json").read_text())["files"] if entry["kind"] == kind]


def sde_of(entry: dict) -> ss.SDE:
    p = dict(entry["parameters"])
    scales = p.pop("N")
    if entry["sde"] == "subVPSDE":
        return ss.SubVP(**p)
    return {"VPSDE": ss.VP, "VESDE": ss.VE}[entry["sde"]](**p, num_scales=scales)


def last(a: np.ndarray) -> np.ndarray:
    """Channels last."""
    return np.moveaxis(a, -3, -1)


def load(entry: dict):
    data = np.load(FOLDER / entry["file"])
    weights = data["mixture_weights"] / data["mixture_weights"].sum()
    truth = ss.analytic.GaussianMixture(last(data["mixture_means"]), data["mixture_stds"], weights)
    return data, truth.denoiser(sde_of(entry))


def step_kinds(entry: dict) -> dict:
    variance = "posterior" if entry["sde"] == "VESDE" else "forward"
    snr = entry["snr"]
    return {
        "euler_maruyama_pf0": EulerMaruyama(),
        "reverse_diffusion_pf0": ReverseDiffusion(),
        "reverse_diffusion_pf1": ReverseDiffusion(probability_flow=True),
        "ancestral_sampling_pf0": Ancestral(variance),
        "langevin_n1": Langevin(snr, 1, "batch"),
        "langevin_n2": Langevin(snr, 2, "batch"),
        "ald_n1": AnnealedLangevin(snr),
        "ald_n2": AnnealedLangevin(snr, 2),
    }


@pytest.mark.parametrize("entry", entries("predictor and corrector steps"), ids=lambda e: e["sde"])
def test_steps(entry):
    data, model = load(entry)
    compared = 0
    rules = {name: (rule, jax.jit(rule.step)) for name, rule in step_kinds(entry).items()}
    for case in ("t0", "t1", "t2", "tmixed"):
        t, x, noise = data[f"{case}/t"], last(data[f"{case}/x"]), last(data[f"{case}/noise"])
        s = t - np.float32(1 / entry["parameters"]["N"])
        for name, (rule, step) in rules.items():
            if f"{case}/{name}/x" not in data:
                continue
            state = jax.numpy.asarray(x)
            for z in noise[: getattr(rule, "steps", 1)]:
                state, mean = step(model, state, t, s, z)
            for found, wanted in ((state, data[f"{case}/{name}/x"]), (mean, data[f"{case}/{name}/x_mean"])):
                wanted = last(wanted)
                scale = np.maximum(1, np.abs(wanted).max(axis=(1, 2, 3), keepdims=True))
                assert (np.abs(found - wanted) <= 2e-5 * scale).all(), (case, name)
                compared += 1
    assert compared >= 24


@pytest.mark.parametrize("entry", entries("complete predictor-corrector run"), ids=lambda e: Path(e["file"]).stem)
def test_complete_runs(entry):
    data, model = load(entry)
    variance = "posterior" if entry["sde"] == "VESDE" else "forward"
    predictor = {
        "euler_maruyama": EulerMaruyama(),
        "reverse_diffusion": ReverseDiffusion(),
        "ancestral_sampling": Ancestral(variance),
    }[entry["predictor"]]
    corrector = {"none": None, "langevin": Langevin(entry["snr"], entry["n_steps_each"], "batch")}[entry["corrector"]]
    noise, n, t = last(data["noise"]), len(data["x_init"]), data["timesteps"]
    for final, wanted in (("mean", "final"), ("none", "final_without_denoising")):
        out = ss.samplers.predictor_corrector(
            model,
            jax.random.key(0),
            n,
            noise.shape[3:],
            predictor=predictor,
            corrector=corrector,
            x_init=last(data["x_init"]),
            noise=noise,
            time_grid=np.stack([t, t - 1 / len(t)], axis=1),
            final=final,
            record=ss.samplers.trajectory,
        )
        assert np.abs(out.x - last(data[wanted])).max() <= 5e-5
        before = last(data["x_after_predictor"])[:-1]  # the record holds the states before each step
        assert (np.abs(out.record["x"][1:] - before) <= 5e-5 * (1 + np.abs(before).max())).all()
        assert int(out.calls) == entry["score_calls"] + len(t)  # recording asks the model once a step
    published = ss.samplers.grids.published(model.sde, len(t))
    np.testing.assert_allclose(published[:, 0], t, atol=1e-6)


@pytest.mark.parametrize("entry", entries("probability-flow ODE sample and likelihood"), ids=lambda e: e["sde"])
def test_ode(entry):
    data, model = load(entry)
    run = {"x_init": last(data["z"]), "final": "none"}
    shape = run["x_init"].shape
    tight = ss.samplers.ode(model, jax.random.key(0), shape[0], shape[1:], rtol=1e-7, atol=1e-7, **run)
    assert np.abs(tight.x - last(data["sample_exact"])).max() <= 1e-4
    assert (np.asarray(tight.failed_at) == -1).all()
