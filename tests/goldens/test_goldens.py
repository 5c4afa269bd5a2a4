"""What must not move while the house is re-shaped: numbers and settings recorded with commit 2e62799 on one machine.

First parameters are the same numbers; losses, training steps and samples agree within 1e-6 relative (float32 rounding of a
sum is up to 1e-6 of its largest terms, hence the absolute tolerance).
"""

import inspect
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

import score_sde as ss
from configs import digits_conditional, quickstart
from score_sde import checkpoints
from score_sde.experiment import experiment_of
from score_sde.experiment.experiment import Experiment
from score_sde.training.metrics import read
from tests.goldens import problems
from tests.interop.originals import ROWS
from tests.samplers.truth import mixture
from tests.training import toy

HERE = Path(__file__).parent
pytestmark = pytest.mark.filterwarnings("ignore:fields of the config")


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(HERE / f"{name}.npz") as arrays:
        return dict(arrays)


def assert_same(found, wanted, rtol=1e-6, atol=1e-6):
    """Within rtol, and within atol of the largest of their array.

    The steps of an adaptive solver amplify rounding; whether the adaptive SDE accepts one may turn on the last bit, so that
    only its law has a test (samplers/test_law.py).
    """
    assert found.keys() == wanted.keys()
    for name in (name for name in wanted if "adaptive_sde" not in name):
        largest = max(1.0, float(np.abs(wanted[name]).max()))
        room = 100 if name.endswith("/ode") else 1
        np.testing.assert_allclose(found[name], wanted[name], rtol=rtol, atol=room * atol * largest, err_msg=name)


def test_first_parameters():
    assert_same(problems.networks(), golden("networks"), rtol=1e-12, atol=0)


slow = pytest.mark.slow  # tests of their own look after samplers


@pytest.mark.parametrize("name", ["losses", pytest.param("samplers", marks=slow), pytest.param("guided", marks=slow)])
def test_losses_and_samples(name):
    assert_same(getattr(problems, name)(), golden(name), atol=2e-5)  # VE starts at σ = 50


def small(config: ConfigDict) -> ConfigDict:
    """A small network, and the quickstart's recipe of when the values were stored."""
    config.network.nf = 8
    config.batches.batch_size, config.averages.ema.rate = 64, 0.998
    config.loss.weighting = ConfigDict({"name": "edm", "sigma_data": 0.75})
    config.loss.times.times = ConfigDict({"name": "log_normal"})
    config.training.steps_per_call = 1
    return config


def original(name: str, folder: Path) -> ConfigDict:
    """A config of the original, on the digits and with a network of one level."""
    (folder / "c.py").write_text(ROWS[name].text())
    config = ss.interop.read_config(folder / "c.py")
    config.data = ConfigDict({"name": "digits"})
    config.example = ConfigDict({"shape": (8, 8, 1), "levels": 17})
    config.network.update(nf=32 if config.network.name == "ddpm" else 8, ch_mult=(1,), num_res_blocks=1)
    config.network.attn_resolutions = (8,)
    config.batches.batch_size = 16
    config.optim.warmup = 2
    return config


CASES = {
    "toy": lambda folder: toy.get_config(),
    "quickstart": lambda folder: small(quickstart.get_config()),
    "digits_conditional": lambda folder: small(digits_conditional.get_config()),
    "ve_continuous": lambda folder: original("ve/cifar10_ncsnpp_continuous", folder),
    "ve_discrete": lambda folder: original("ve/cifar10_ncsnpp", folder),
    "vp_discrete": lambda folder: original("vp/ddpm/cifar10", folder),
    "subvp": lambda folder: original("subvp/cifar10_ddpmpp_continuous", folder),
}
QUICK = ("toy",)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=slow) for n in CASES])
def test_three_steps(name, tmp_path):
    config = CASES[name](tmp_path)
    config.training.update(steps=3, log_every=1, evaluate_every=3, snapshot_every=3, checkpoint_every=3)
    config.logging = ConfigDict({"preview": 0, "tensorboard": False})
    wanted = {key.removeprefix(f"{name}/"): v for key, v in golden("training").items() if key.startswith(f"{name}/")}
    run = ss.train(config, tmp_path / "run")
    lines = read(tmp_path / "run")
    found = {key: np.array([line[key] for line in lines if key in line]) for key in ("loss", "grad_norm", "eval_loss")}
    groups = checkpoints.load_arrays(checkpoints.find(tmp_path / "run")[0], ("raw", "ema"))
    for weights, arrays in groups.items():
        found |= {f"{weights}/{key}": value for key, value in problems.digest(arrays).items()}
    steps = {} if config.sampler.name == "ode" else {"steps": 4}
    found["samples"] = np.asarray(run.sample(jax.random.key(0), 4, condition=run.some_labels(4), **steps).x)
    assert_same(found, wanted, rtol=1e-5, atol=1e-5)


# The configs of the paper: the same networks, losses, samplers.


def plain(value):
    """As the table has it: an array by its ends and its length, tuples as lists."""
    if hasattr(value, "ndim") and not isinstance(value, type) and value.ndim:
        value = np.asarray(value, np.float64)
        return [float(value[0]), float(value[-1]), len(value)]
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value if isinstance(value, int | float | str | bool | None) else str(np.dtype(value))


def described_sampler(sampler) -> dict:
    def text(value):
        if callable(value) and hasattr(value, "__name__"):
            return value.__name__
        return value if isinstance(value, int | str | None) else repr(value)

    return {"name": sampler.func.__name__, **{key: text(value) for key, value in sampler.keywords.items()}}


class Built(Exception):
    """The network's constructor was called with these arguments."""


def constructor_arguments(experiment: Experiment, monkeypatch) -> dict:
    signature = inspect.signature(ss.networks.NCSNpp.__init__, eval_str=True)

    def record(self, *arguments, **options):
        bound = signature.bind(self, *arguments, **options)
        bound.apply_defaults()
        raise Built({name: plain(value) for name, value in bound.arguments.items() if name not in ("self", "rngs")})

    record.__signature__ = signature  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr("score_sde.networks.ncsnpp.NCSNpp.__init__", record)
        with pytest.raises(Built) as built:
            experiment.network(nnx.Rngs(0))
    return built.value.args[0]


def trace(x, level, condition=None, *, dropout_keys=None):
    return 0.1 * x * (1 + 0.01 * level.reshape(-1, 1))


LATER = {
    "second_level": False,
    "out_channels": None,
    "numbers": [],
    "text_vocabulary": None,
    "text_features": None,
    "text_length": 0,
    "text_width": 64,
}
"""Arguments of networks that came after the goldens, and must do nothing in the paper's configs."""


@pytest.mark.parametrize("name", ROWS)
def test_the_configs_of_the_paper(name, tmp_path, monkeypatch):
    wanted = json.loads((HERE / "configs.json").read_text())[name]
    (tmp_path / "c.py").write_text(ROWS[name].text())
    experiment = experiment_of(ss.interop.read_config(tmp_path / "c.py"))
    assert constructor_arguments(experiment, monkeypatch) == {**wanted["network"], **LATER}
    model = experiment.model_over(trace)
    assert repr(model.sde) == wanted["sde"]
    assert (model.predicts, getattr(model.noise_level, "__name__", None), type(model.network).__name__) == (
        wanted["predicts"],
        wanted["noise_level"],
        wanted["wrapped"],
    )
    x0, keys = mixture().sample(jax.random.key(1), 4), jax.random.split(jax.random.key(2), 4)
    score = np.asarray(model.score(x0, jnp.array([0.1, 0.3, 0.6, 0.9]))).ravel()
    np.testing.assert_allclose(score, wanted["score"], rtol=1e-6)
    np.testing.assert_allclose(experiment.loss()(model, x0, keys, None), wanted["loss"], rtol=1e-6)
    assert described_sampler(experiment.sampler) == wanted["sampler"]
    optimizer, rate = experiment.optimizer()
    np.testing.assert_allclose([rate(jnp.array(k)) for k in (0, 1, 100, 5000, 100000)], wanted["rates"], rtol=1e-6)
    parameters = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}
    state = optimizer.init(parameters)
    for k in range(4):
        gradient = jax.tree.map(lambda v: jnp.sin(v + k) * 5, parameters)  # noqa: B023
        updates, state = optimizer.update(gradient, state, parameters)
        parameters = jax.tree.map(jnp.add, parameters, updates)
    np.testing.assert_array_equal([*parameters["a"], parameters["b"]], wanted["optimised"])
    for average, values in wanted["averages"].items():
        found = [float(experiment.averages[average](jnp.array(k))) for k in (1, 100, 10**6)]
        np.testing.assert_allclose(found, values, rtol=1e-6)
    assert repr(experiment.scaling) == wanted["scaling"]
    plan, config = experiment.plan, experiment.config
    assert [plan.log_every, plan.evaluate_every, plan.snapshot_every, plan.checkpoint_every] == wanted["every"]
    assert (plan.steps, config.batches.batch_size, config.seed) == (
        wanted["steps"],
        wanted["batch_size"],
        wanted["seed"],
    )
    assert experiment.example.shape == (wanted["image_size"], wanted["image_size"], wanted["channels"])
