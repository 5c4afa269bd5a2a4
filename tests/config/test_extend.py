"""A metric, a guidance, a network, a sampler and a field are one file each, outside of the package."""

import sys

import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde import experiment
from score_sde.config.overrides import override
from tests.training import toy

FILES = {
    "network": '''
import jax.numpy as jnp
from flax import nnx


class Linear(nnx.Module):
    """W x + b σ."""

    def __init__(self, shape, *, gain: float = 1.0, rngs: nnx.Rngs):
        self.kernel = nnx.Param(gain * jnp.eye(shape[0]))
        self.bias = nnx.Param(jnp.zeros(shape[0]))

    def __call__(self, x, noise_level, condition=None, *, dropout_keys=None):
        return x @ self.kernel[...] + noise_level[:, None] / 999 * self.bias[...]
''',
    "sampler": """
import dataclasses
from score_sde.samplers import Method, Step, solve


@dataclasses.dataclass(frozen=True)
class Euler(Method):
    def plan(self, sde, times):
        return {"t": times[:-1], "s": times[1:]}

    def step(self, model, x, row, noise, memory, condition):
        x_s = x + (row["s"] - row["t"]) * model.velocity(x, row["t"], condition)
        return Step(x_s, x_s)


def euler(model, key, n, shape, *, steps: int = 20, **options):
    return solve(Euler(), model, key, n, shape, steps, **options)
""",
    "guidance": '''
import dataclasses
from score_sde.denoiser import Denoiser, Wrapper


@dataclasses.dataclass(frozen=True)
class Shrunk(Wrapper):
    """The mean times a factor."""

    factor: float

    def predict(self, x, t, condition=None):
        x0 = self.factor * self.model.denoise(x, t, condition)
        return x0, (x - self.sde.alpha(t) * x0) / self.sde.sigma(t)


def shrunk(model: Denoiser, factor: float = 0.5):
    return Shrunk(model.sde, model, factor)
''',
    "metric": '''
import dataclasses
import numpy as np
from score_sde.evaluation import PerExample


@dataclasses.dataclass(frozen=True)
class Moment(PerExample):
    """E|x|^power of samples."""

    of = "samples"
    power: float = 2.0

    def measure(self, subject, batch, key):
        return {"moment": abs(batch["data"]) ** self.power}

    def result(self, subject, state):
        return {"mean": float(state["moment"].mean()), "samples": len(state["moment"])}
''',
}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    folder = tmp_path / "my_things"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_things")]:
        del sys.modules[name]


def config():
    config = toy.get_config()
    config.network = {"name": "my_things.network:Linear"}
    config.sampler = {"name": "my_things.sampler:euler", "steps": 7}
    config.guidance = {"name": "my_things.guidance:shrunk"}
    config.measures = {"second": {"name": "my_things.metric:Moment"}, "first": {"name": "my_things.metric:Moment"}}
    config.training.steps = 10
    return config


def test_each_is_one_file(mine):
    mine_config = config()
    mine_config.measures.first.power = 1.0
    run = ss.train(mine_config, mine / "run")
    assert run.network.kernel.shape == (2, 2)
    out = run.sample(jax.random.key(0), 4)
    assert out.nfe.tolist() == [8] * 4  # seven steps, and the last one to the mean
    guided = run.guided({"anything": np.zeros(4)})
    np.testing.assert_allclose(guided.denoise(out.x, 0.5), 0.5 * run.model.denoise(out.x, 0.5))
    results = experiment.evaluate(mine_config, mine / "run")[10]
    assert results["second"]["samples"] == 8
    assert results["first"]["mean"] ** 2 <= results["second"]["mean"]


def test_their_arguments_are_fields(mine):
    """With a type, a default, an answer to a wrong value and to a wrong name, and a value on the command line."""
    whole = experiment.Experiment.of(config()).config
    assert whole.network.gain == 1.0
    assert whole.guidance.factor == 0.5
    changed = config()
    changed.guidance.factor = "half"
    changed.network.gian = 2.0
    with pytest.raises(
        ValueError, match=r"(?s)network.gian is unknown; did you mean config.network.gain.*factor = 'half'"
    ):
        experiment.Experiment.of(changed)
    typed = override(override(config().to_dict(), "network.gain", "3"), "sampler.steps", "5")
    assert (typed["network"]["gain"], typed["sampler"]["steps"]) == (3.0, 5)
