"""NCSN and NCSNv2 with the original's weights give the original's numbers, as the PyTorch and as the Flax code has them."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde import networks
from score_sde.interop.pairs import Pair
from score_sde.interop.score_sde.weights import correspondence, load
from score_sde.networks import RefineNet
from tests.networks.quick import quick_jit

SHARED = Path(__file__).parents[2].parent / "shared" / "reference"
MORE = SHARED / "ncsn_more"
pytestmark = pytest.mark.skipif(not MORE.exists(), reason="the reference arrays (../shared/reference) are absent")
NORMS = {"InstanceNorm++": "instancenorm++", "VarianceNorm": "variancenorm"}


def entries(folder: Path) -> dict[str, dict]:
    index = folder / "index.json"
    return {entry["file"]: entry for entry in json.loads(index.read_text())["files"]} if index.exists() else {}


def network_of(entry: dict, **options) -> RefineNet:
    """Without weights."""
    fields = entry.get("config_fields") or {
        f"{section.removeprefix('config.')}.{name}": value
        for section, values in entry["config"].items()
        for name, value in values.items()
    }
    model = {name.removeprefix("model."): value for name, value in fields.items() if name.startswith("model.")}
    make = getattr(networks, model["name"])
    return nnx.eval_shape(
        lambda: make(
            fields["data.image_size"],
            fields["data.num_channels"],
            nf=model["nf"],
            nonlinearity=model["nonlinearity"],
            normalization=NORMS[model["normalization"]],
            sigmas=np.geomspace(model["sigma_max"], model["sigma_min"], model["num_scales"]),
            data_in_unit_range=not fields["data.centered"],
            rngs=nnx.Rngs(0),
            **options,
        )
    )


def last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(a, 1, -1)


def state_of(arrays: dict) -> dict:
    """The state dict among the arrays."""
    return {name: value for name, value in arrays.items() if "." in name or name == "sigmas"}


@quick_jit
def forward(network, x, labels):
    return network(x, labels)


@quick_jit
def backward(network, x, labels, probe):
    """The gradients of Σ output · probe with respect to parameters and x."""
    return jax.vjp(lambda network, x: network(x, labels), network, x)[1](probe)


def check(network, arrays, x: str = "x", out: str = "output") -> None:
    """The output, within 2e-5 of the largest."""
    with jax.default_matmul_precision("highest"):
        found = forward(network, jnp.asarray(last(arrays[x])), jnp.asarray(arrays["labels"], jnp.float32))
    assert np.abs(np.asarray(found) - last(arrays[out])).max() < 2e-5 * np.abs(arrays[out]).max()


def check_gradients(network, arrays, allowed: float, x: str = "x", probe: str = "probe", vjp: str = "vjp_x"):
    """That of x, relative to the largest; returns those of the parameters."""
    labels = jnp.asarray(arrays["labels"], jnp.float32)
    with jax.default_matmul_precision("highest"):
        gradient, vjp_x = backward(network, jnp.asarray(last(arrays[x])), labels, jnp.asarray(last(arrays[probe])))
    assert np.abs(np.asarray(vjp_x) - last(arrays[vjp])).max() < allowed * np.abs(arrays[vjp]).max()
    return gradient


NCSN = list(entries(SHARED / "ncsn"))
MORE_NETWORKS = [name for name in entries(MORE) if name.startswith("networks/")]


@pytest.mark.parametrize("file", NCSN)
def test_as_in_pytorch(file):
    """The output, the number and the order of the parameters, and the state dict back bit by bit."""
    entry, arrays = entries(SHARED / "ncsn")[file], dict(np.load(SHARED / "ncsn" / file))
    network, state = network_of(entry), state_of(arrays)
    load(network, state)
    check(network, arrays)
    pairs = [pair for pair in correspondence(network) if pair.theirs != "sigmas"]
    assert [pair.theirs for pair in pairs] == list(arrays["param_names"])
    assert sum(pair.to_theirs().size for pair in pairs) == entry["parameters"]
    for pair in correspondence(network):
        assert np.array_equal(pair.to_theirs(), state[pair.theirs]), pair.theirs


@pytest.mark.slow
@pytest.mark.parametrize("file", NCSN)
def test_gradients_as_in_pytorch(file):
    entry, arrays = entries(SHARED / "ncsn")[file], dict(np.load(SHARED / "ncsn" / file))
    network = network_of(entry)
    load(network, state_of(arrays))
    tie = file == "ncsnv2_128.npz"  # two entries of a maximum nearly tie: there the gradient itself jumps in float32
    gradient = check_gradients(network, arrays, 1e-2 if tie else 1e-4)
    norms = dict(zip(arrays["param_names"], arrays["param_grad_norm"], strict=True))
    for pair in correspondence(gradient):
        if pair.theirs in norms:
            allowed = 2e-2 if tie else 1e-3
            assert np.linalg.norm(pair.to_theirs()) == pytest.approx(norms[pair.theirs], rel=allowed), pair.theirs


@pytest.mark.slow
@pytest.mark.parametrize("file", MORE_NETWORKS)
def test_more_networks(file):
    """Other weights, a second input, and VarianceNorm."""
    entry, arrays = entries(MORE)[file], dict(np.load(MORE / file))
    network = network_of(entry)
    load(network, state_of(arrays))
    for which in "ab":
        check(network, arrays, f"x_{which}", f"output_{which}")
        check_gradients(network, arrays, 1e-3, f"x_{which}", f"probe_{which}", f"vjp_x_{which}")


def test_variance_norm():
    entry = entries(MORE)["networks/ncsnv2_64_variancenorm.npz"]
    arrays, network = dict(np.load(MORE / entry["file"])), network_of(entry)
    load(network, state_of(arrays))
    check(network, arrays, "x_a", "output_a")


@pytest.mark.parametrize("file", ["networks/ncsnv2_128.npz", "networks/ncsnv2_256.npz"])
def test_resize_and_variance_of_flax(file):
    """The same weights as the Flax code computes with them, which is far from what the PyTorch code computes."""
    entry, arrays = entries(MORE)[file], dict(np.load(MORE / file))
    as_flax = network_of(entry, resize="half_pixel", variance="population")
    load(as_flax, state_of(arrays))
    check(as_flax, arrays, "x_a", "flax_output_a")
    assert np.abs(arrays["flax_output_a"] - arrays["output_a"]).max() > 0.05 * np.abs(arrays["flax_output_a"]).max()


@pytest.mark.parametrize("name", ["ncsn", "ncsnv2_64"])
def test_third_width_of_flax(name):
    """The Flax code's own network, whose third refinement has 2 nf channels."""
    names = entries(MORE)[f"networks/{name}.npz"]["flax_names"]
    entry, arrays = entries(MORE)[f"flax/{name}.npz"], dict(np.load(MORE / f"flax/{name}.npz"))
    network = network_of(entry, resize="half_pixel", variance="population", third_width=2)
    for pair in correspondence(network):
        if pair.theirs != "sigmas":
            pair.variable.set_value(of_flax(pair, arrays[f"params/{names[pair.theirs].removeprefix('params/')}"]))
    model = entry["config"]["config.model"]
    network.sigmas.set_value(jnp.geomspace(model["sigma_max"], model["sigma_min"], model["num_scales"]))
    flat = {key: np.moveaxis(arrays[key], -1, 1) for key in ("x", "output")}
    check(network, flat | {"labels": arrays["labels"]})


def of_flax(pair: Pair, value: np.ndarray) -> jax.Array:
    """Flax has kernels as we have them, vectors with axes of size 1, and one row a class for all three."""
    return jnp.asarray(value.reshape(pair.variable.shape))


def test_annealed_langevin_run():
    """The original's corrector-only run, with its noise: every level's state."""
    entry, arrays = entries(MORE)["ald/run.npz"], dict(np.load(MORE / "ald/run.npz"))
    settings = entry["config"]
    weights = "networks/ncsnv2_64.npz"
    network = network_of(entries(MORE)[weights])
    load(network, state_of(dict(np.load(MORE / weights))))
    network.sigmas.set_value(jnp.asarray(arrays["sigmas_descending"], jnp.float32))
    sde = ss.VE(settings["sigma_min"], settings["sigma_max"], num_scales=settings["N"])
    model = ss.denoiser.smld_chain(sde, network)
    noise = np.moveaxis(arrays["noise"], -3, -1)
    steps, n = settings["n_steps"], noise.shape[-4]
    noise = noise.reshape(settings["N"], steps, *noise.shape[-4:])
    noise = np.concatenate([noise, np.zeros_like(noise[:, :1])], axis=1)  # the predictor's, which is not there
    out = ss.samplers.annealed_langevin(
        model,
        jax.random.key(0),
        n,
        noise.shape[-3:],
        steps=steps,
        snr=settings["snr"],
        x_init=last(arrays["latents"]),
        noise=noise,
        final="none",
    )
    np.testing.assert_allclose(out.x, last(arrays["sample"]), atol=2e-4)
    assert out.nfe.tolist() == [settings["N"] * steps] * n
