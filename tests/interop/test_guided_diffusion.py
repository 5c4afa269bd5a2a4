"""ADM's and iDDPM's networks with the original weights give the original numbers."""

import functools
import json
import os
import pickle
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde.formats import pth, pth_writer, safetensors
from score_sde.interop.commands import convert
from score_sde.interop.export import export
from score_sde.interop.files import opened
from score_sde.interop.guided_diffusion.weights import correspondence, load
from score_sde.networks import ADM, ADMClassifier, Concatenation
from tests.networks.quick import quick_jit

SHARED = Path(__file__).parents[2].parent / "shared" / "reference"
pytestmark = pytest.mark.skipif(not (SHARED / "adm").exists(), reason="the reference arrays are absent")


GIVEN = ("out_channels", "num_classes")


def entries() -> dict[str, dict]:
    """The networks of both folders, by folder and file."""
    found = {}
    for folder in ("adm", "adm_more"):
        if (SHARED / folder).exists():
            for entry in json.loads((SHARED / folder / "index.json").read_text())["files"]:
                if entry["kind"] in ("unet", "encoder", "super_res", "network", "classifier"):
                    found[f"{folder}/{entry['file']}"] = entry
    return found


def network_of(entry: dict) -> Any:
    """Without weights."""
    given = entry.get("arguments") or entry["config"]
    improved = "improved" in given.get("class", "")
    size = given.get("image_size", 16)
    options = {
        "nf": given["model_channels"],
        "ch_mult": given["channel_mult"],
        "num_res_blocks": given["num_res_blocks"],
        "attn_resolutions": [size // factor for factor in given["attention_resolutions"]],
        "attention_heads": given.get("num_heads", 1),
        "head_channels": given.get("num_head_channels"),
        "head_order": "qkv_first" if given.get("use_new_attention_order") else "heads_first",
        "scale_shift": given.get("use_scale_shift_norm", False),
        "resample_in_blocks": given.get("resblock_updown", False) and not improved,
        "resamp_with_conv": given.get("conv_resample", True),
    }
    if "pool" in given:
        pool = "mean" if given["pool"] == "adaptive" else given["pool"]
        return nnx.eval_shape(
            lambda: ADMClassifier(
                size, given["in_channels"], num_classes=given["out_channels"], pool=pool, **options, rngs=nnx.Rngs(0)
            )
        )
    options |= {"num_classes": given.get("num_classes"), "no_class": False, "out_channels": given["out_channels"]}
    options |= {"up_heads": given.get("num_heads_upsample")}
    if entry["kind"] == "super_res":
        network = functools.partial(ADM, **{name: value for name, value in options.items() if name not in GIVEN})
        return nnx.eval_shape(
            lambda: Concatenation(
                size, given["in_channels"], network=network, leaves={"low": 3}, out_channels=6, rngs=nnx.Rngs(0)
            )
        )
    return nnx.eval_shape(lambda: ADM(size, given["in_channels"], **options, rngs=nnx.Rngs(0)))


def last(a: np.ndarray) -> np.ndarray:
    """Channels last; logits have none."""
    return np.moveaxis(a, 1, -1) if a.ndim == 4 else a


def state_of(arrays: dict) -> dict:
    return {name: value for name, value in arrays.items() if "." in name}


def arguments(arrays: dict) -> tuple:
    label = arrays["input_y"] if "input_y" in arrays else arrays.get("y")
    condition = None if label is None else {"label": jnp.asarray(label)}
    condition = {"low": jnp.asarray(last(arrays["input_low_res"]))} if "input_low_res" in arrays else condition
    return jnp.asarray(last(arrays["x"])), jnp.asarray(arrays["timesteps"], jnp.float32), condition


@quick_jit
def forward(network, x, t, condition):
    return network(x, t, condition)


@quick_jit
def backward(network, x, t, condition, probe):
    return jax.vjp(lambda network, x: network(x, t, condition), network, x)[1](probe)


FILES = entries()
QUICK = {
    "adm/unet_adm.npz",
    "adm/unet_new_order.npz",
    "adm/encoder.npz",
    "adm/super_res.npz",
    "adm_more/networks/classifier_adaptive_pool.npz",
}
PARAMETERS = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FILES]


@pytest.mark.parametrize("file", PARAMETERS)
def test_as_the_original(file):
    """The output, the number and the order of the parameters, and the state dict back bit by bit."""
    entry, arrays = FILES[file], dict(np.load(SHARED / file))
    network, state = network_of(entry), state_of(arrays)
    load(network, state)
    with jax.default_matmul_precision("highest"):
        out = forward(network, *arguments(arrays))
    assert np.abs(np.asarray(out) - last(arrays["output"])).max() < 2e-5 * np.abs(arrays["output"]).max()
    pairs = correspondence(network)
    assert [one.theirs for one in pairs] == list(arrays["param_names"])
    assert sum(one.to_theirs().size for one in pairs) == entry.get(
        "parameters", entry.get("state_dict", {}).get("numbers")
    )
    for one in pairs:
        assert np.array_equal(one.to_theirs(), state[one.theirs]), one.theirs


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_gradients_as_the_original(file):
    entry, arrays = FILES[file], dict(np.load(SHARED / file))
    network = network_of(entry)
    load(network, state_of(arrays))
    with jax.default_matmul_precision("highest"):
        gradient, vjp_x = backward(network, *arguments(arrays), jnp.asarray(last(arrays["probe"])))
    assert np.abs(np.asarray(vjp_x) - last(arrays["vjp_x"])).max() < 1e-4 * np.abs(arrays["vjp_x"]).max()
    norms = dict(zip(arrays["param_names"], arrays["param_grad_norm"], strict=True))
    largest = max(norms.values())
    for one in correspondence(gradient):
        wanted = norms[one.theirs]
        assert abs(np.linalg.norm(one.to_theirs()) - wanted) < 1e-3 * wanted + 1e-5 * largest, one.theirs


def test_tensors_that_do_not_fit():
    file = "adm/unet_adm.npz"
    arrays = dict(np.load(SHARED / file))
    state, network = state_of(arrays), network_of(FILES[file])
    state["out.2.weight"] = state["out.2.weight"][:3]
    state["extra.weight"] = state.pop("out.0.bias")
    with pytest.raises(
        ValueError, match=r"1 missing: out.0.bias\n.*1 left over: extra.weight\n.*of another shape: out.2"
    ):
        load(network, state)


CONFIG = {
    "data": {"name": "cifar10"},
    "batches": {"batch_size": 8},
    "example": {"shape": (16, 16, 3), "levels": 256, "classes": 5},
    "sde": {"name": "vp"},
    "conditions": {"label": {"dropout": 0.0}},
    "denoiser": {"predicts": "noise", "noise_level": "chain_label", "beside": ("variance",)},
    "network": {
        "name": "adm",
        "nf": 32,
        "ch_mult": (1, 2),
        "num_res_blocks": 1,
        "attn_resolutions": (8,),
        "head_channels": 16,
        "out_channels": 6,
        "no_class": False,
    },
}


def test_a_file_becomes_a_run_and_comes_back(tmp_path, capsys):
    """From a .pt to a workdir to a safetensors file of the same names and bits; the command says what the file is."""
    state = state_of(dict(np.load(SHARED / "adm/unet_adm.npz")))
    file = pth_writer.write(tmp_path / "ema_0.9999_500.pt", state)
    convert(file, None, None)
    assert (
        "a U-Net of guided-diffusion or improved-diffusion: 145 tensors of 828,998 numbers" in capsys.readouterr().out
    )
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    convert(file, config, tmp_path / "run")
    run = ss.load(tmp_path / "run")
    assert (run.step, run.weights) == (500, "ema")
    for name, value in safetensors.read(export(run, tmp_path / "back.safetensors")).items():
        assert np.array_equal(value, state[name]), name
    assert set(pth.read(export(run, tmp_path / "back.pth"))) == set(state)
    direct = ss.interop.load_foreign(file, config)
    for one, other in zip(jax.tree.leaves(direct.model), jax.tree.leaves(run.model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_files_of_ncsn(tmp_path):
    """[state dict, optimizer, epoch, step, averages of the parameters alone]."""
    raw = {"module.begin_conv.bias": np.zeros(3, np.float32), "module.sigmas": np.ones(2, np.float32)}
    averages = {"begin_conv.bias": np.full(3, 2.0, np.float32)}
    found = opened(pth_writer.write(tmp_path / "checkpoint.pth", [raw, {}, 7, 1200, averages]))
    assert (found.kind, found.step, list(found.states)) == ("a checkpoint of NCSN or NCSNv2", 1200, ["ema", "raw"])
    assert found.states["ema"]["begin_conv.bias"].tolist() == [2.0] * 3
    assert found.states["ema"]["sigmas"].tolist() == [1.0] * 2
    assert found.states["raw"]["begin_conv.bias"].tolist() == [0.0] * 3


def test_files_that_are_nothing_known(tmp_path):
    with pytest.raises(ValueError, match="no file of a known kind"):
        opened(pth_writer.write(tmp_path / "x.pth", {"weight": np.zeros(2, np.float32)}))
    (tmp_path / "y.pt").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(ValueError, match=r"y\.pt"):
        opened(tmp_path / "y.pt")
    assert not Path("/tmp/score_sde_was_here").exists()


class Hostile:
    """A pickle that would run a command."""

    def __reduce__(self):
        return (os.system, ("touch /tmp/score_sde_was_here",))
