"""Training an adapter beside a frozen base, from a config."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde import checkpoints, parameters
from score_sde.experiment.packed import pack
from score_sde.networks.adapters import Adapted


def data(folder):
    """Small pictures with the map of their edges."""
    images = np.random.default_rng(0).integers(0, 17, (24, 8, 8, 1), dtype=np.uint8)
    edges = (images[..., 0] > 8).astype(np.float32)[..., None]
    np.savez(folder / "data.npz", data=images, edges=edges)
    return {"name": "arrays", "path": str(folder / "data.npz"), "levels": 17, "test_fraction": 0.25}


def config(folder, **changes):
    return {
        "data": data(folder),
        "batches": {"batch_size": 4},
        "denoiser": {"predicts": "noise"},
        "network": {"name": "ncsnpp", "nf": 8, "ch_mult": (1, 1), "num_res_blocks": 1, "attn_resolutions": (4,)},
        "optim": {"lr": 0.05, "warmup": 0},
        "training": {"steps": 2, "steps_per_call": 1, "checkpoint_every": 2, "snapshot_every": 2},
        "logging": {"tensorboard": False, "preview": 0},
        "sampler": {"name": "ddim", "steps": 2},
    } | changes


def arrays(model):
    trained, constants, _ = parameters.split(model)
    return trained | constants


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return ss.train(config(folder), folder / "run")


def adapting(folder, base, **changes):
    return config(
        folder,
        network={"name": "control_net", "control_channels": 1},
        task={"name": "adaptation", "base": {"run": str(base.workdir), "weights": "raw"}},
        conditions={"control": {"key": "edges", "spatial": True, "dropout": 0.0}},
        **changes,
    )


@pytest.fixture(scope="module")
def run(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    return ss.train(adapting(folder, base), folder / "run")


def test_an_adapter_from_a_config(base, run):
    """The base is bit-equal after training and in no checkpoint; the run is the base with the adapter, also when loaded."""
    raw = ss.load(base.workdir, weights="raw")
    assert isinstance(run.network, Adapted)
    for name, value in arrays(raw.network).items():
        np.testing.assert_array_equal(value, arrays(run.network.base)[name])
    path = checkpoints.find(run.workdir, None)[0]
    stored = checkpoints.load_arrays(path, ("raw",))["raw"]
    assert all(name.split(".")[0] in ("encoder", "hint", "hint_out", "out", "out_middle") for name in stored)
    moved = [float(jnp.max(jnp.abs(value))) for name, value in stored.items() if name.startswith("out_middle.kernel")]
    assert moved[0] > 0
    loaded = ss.load(run.workdir)
    control = run.condition_of(run.source().take(np.arange(3)))
    a, b = (each.sample(jax.random.key(0), 3, condition=control).x for each in (run, loaded))
    np.testing.assert_allclose(a, b, atol=1e-5)
    other = {"control": 1 - control["control"]}
    assert float(jnp.max(jnp.abs(loaded.sample(jax.random.key(0), 3, condition=other).x - b))) > 0
    assert np.isfinite(loaded.evaluate()["held_out_loss"]["mean"])
    reference = json.loads((run.workdir / "config.json").read_text())["task"]["base"]
    assert reference["step"] == 2
    assert reference["hash"]


def test_an_adapter_is_packed_without_its_base(run, tmp_path):
    card = pack(
        run,
        tmp_path / "packed",
        precision="float32",
        title="t",
        about="a",
        data="d",
        licence="l",
        command="c",
        hours=0.0,
        machine="m",
    )
    assert card.parameters == sum(value.size for value in parameters.split(run.network.adapters[-1])[0].values())
    packed = ss.load(tmp_path / "packed")
    for name, value in arrays(run.model).items():
        np.testing.assert_array_equal(value, arrays(packed.model)[name])


def test_another_base_than_that_of_the_training_is_refused(run, tmp_path):
    workdir = shutil.copytree(run.workdir, tmp_path / "run")
    file = workdir / "config.json"
    kept = json.loads(file.read_text())
    kept["task"]["base"]["hash"] = "0" * 16
    file.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="are not those that were seen"):
        ss.load(workdir)


def test_refusals(base, tmp_path):
    lost = adapting(tmp_path, base) | {"task": {"name": "diffusion"}}
    with pytest.raises(
        ValueError, match=r"config.network.name = 'control_net' is an adapter of another model; set config.task"
    ):
        ss.train(lost, tmp_path / "run")
    other = adapting(tmp_path, base, sde={"name": "ve"})
    with pytest.raises(ValueError, match="the base was trained under VP, the model under VE"):
        ss.train(other, tmp_path / "run")
