"""How far it is from what a user calls to what computes: few frames, so that an error's traceback can be read."""

import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import score_sde as ss
from score_sde import cli, losses
from tests.training import toy

PACKAGE = str(Path(ss.__file__).parent)
MOST = 6


def ours(stack: traceback.StackSummary) -> list[str]:
    """The frames in files of ours."""
    return [f"{Path(frame.filename).name}:{frame.name}" for frame in stack if frame.filename.startswith(PACKAGE)]


def test_from_a_sampler_to_the_network(unchecked):
    seen = []

    def network(x, noise_level, condition=None, *, dropout_keys=None):
        seen.append(ours(traceback.extract_stack()))
        return x

    model = ss.NetworkDenoiser(ss.VP(), network, predicts="noise")
    ss.samplers.heun(model, jax.random.key(0), 2, (2,), steps=3)
    assert seen
    deepest = max(seen, key=len)
    assert len(deepest) <= MOST, deepest


def loss(model, x0, keys, condition):
    """For the config: the usual loss, which notes from where it was called."""
    SEEN.append(traceback.extract_stack())
    return losses.denoising(model, x0, keys, condition)


SEEN: list = []


def test_from_the_command_line_to_the_gradient(unchecked, tmp_path):
    config = toy.get_config()
    config.training.steps = 2
    text = f"def get_config():\n    return ConfigDict({config.to_dict()!r})\n"
    (tmp_path / "config.py").write_text("from ml_collections import ConfigDict\n\n\n" + text)
    words = [f"--config={tmp_path / 'config.py'}", f"--workdir={tmp_path / 'run'}", "--compilation_cache=",
             "--config.loss.name=tests.test_frames:loss", "--config.logging.preview=0"]  # fmt: skip
    SEEN.clear()
    with pytest.raises(SystemExit) as end:
        cli.main(["main.py", *words])
    assert end.value.code == 0
    steps = [frames for frames in map(before_gradient, SEEN) if any("train_step" in frame for frame in frames)]
    assert steps
    assert len(steps[0]) <= MOST, steps[0]


def before_gradient(stack: traceback.StackSummary) -> list[str]:
    """Our frames above JAX's differentiation."""
    names = [frame.name for frame in stack]
    at = next((k for k, name in enumerate(names) if name == "value_and_grad_f"), len(names))
    return ours(traceback.StackSummary.from_list(stack[:at]))


def test_a_failing_network_is_near_the_end_of_the_traceback(unchecked):
    def network(x, noise_level, condition=None, *, dropout_keys=None):
        return x @ jnp.ones((3, 3))

    model = ss.NetworkDenoiser(ss.VP(), network, predicts="noise")
    with pytest.raises(TypeError) as error:
        ss.samplers.heun(model, jax.random.key(0), 2, (2,), steps=3)
    assert len(ours(traceback.extract_tb(error.value.__traceback__))) <= MOST
