"""ADM's and iDDPM's networks with the original weights give the original numbers."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from score_sde.interop.guided_diffusion.weights import correspondence, load
from score_sde.networks import ADM, ADMClassifier
from tests.networks.quick import quick_jit

SHARED = Path(__file__).parents[2].parent / "shared" / "reference"
pytestmark = pytest.mark.skipif(not (SHARED / "adm").exists(), reason="the reference arrays are absent")


def entries() -> dict[str, dict]:
    """The networks of both folders, by folder and file."""
    found = {}
    for folder in ("adm", "adm_more"):
        if (SHARED / folder).exists():
            for entry in json.loads((SHARED / folder / "index.json").read_text())["files"]:
                if entry["kind"] in ("unet", "encoder", "network", "classifier"):
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
    return nnx.eval_shape(lambda: ADM(size, given["in_channels"], **options, rngs=nnx.Rngs(0)))


def last(a: np.ndarray) -> np.ndarray:
    """Channels last; logits have none."""
    return np.moveaxis(a, 1, -1) if a.ndim == 4 else a


def state_of(arrays: dict) -> dict:
    return {name: value for name, value in arrays.items() if "." in name}


def arguments(arrays: dict) -> tuple:
    label = arrays["input_y"] if "input_y" in arrays else arrays.get("y")
    condition = None if label is None else {"label": jnp.asarray(label)}
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
