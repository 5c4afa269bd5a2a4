"""Training does not depend on the number of devices, nor on how the step is laid over them."""

import os
import re
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from score_sde.training.parallel import Parallel
from score_sde.training.state import TrainState
from score_sde.training.step import make_train_step
from tests.training.problem import SOURCE, TASK, model, optimizer


def train(out, *options: str, processes: int = 1) -> dict[str, np.ndarray]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.devices", str(out), *options]
    if processes > 1:
        command += [f"--processes={processes}", f"--port={port}"]
    running = [
        subprocess.Popen([*command, f"--process={k}"], stderr=subprocess.PIPE, text=True) for k in range(processes)
    ]
    errors = [process.communicate(timeout=300)[1] for process in running]
    assert all(process.returncode == 0 for process in running), errors[0][-2000:] + errors[-1][-2000:]
    with np.load(out) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    return train(tmp_path_factory.mktemp("one") / "one.npz", "--devices=1")


LAYOUTS = {
    "8 devices": (("--devices=8",), 1),
    "8 devices, FSDP": (("--devices=8", "--rules=fsdp"), 1),
    "8 devices, pmap": (("--devices=8", "--strategy=pmap"), 1),
    "2 processes of 1 device": (("--devices=2",), 2),
}
MORE = {
    "2 devices": (("--devices=2",), 1),
    "2 devices, FSDP": (("--devices=2", "--rules=fsdp"), 1),
    "2 devices, pmap": (("--devices=2", "--strategy=pmap"), 1),
    "2 processes of 2 devices, FSDP": (("--devices=4", "--rules=fsdp"), 2),
    "2 processes of 1 device, pmap": (("--devices=2", "--strategy=pmap"), 2),
    "5 steps a call": (("--steps_per_call=5",), 1),
    "8 devices, pmap, 5 steps a call": (("--devices=8", "--strategy=pmap", "--steps_per_call=5"), 1),
    "in 4 parts": (("--accumulate=4",), 1),
    "2 devices, in 4 parts": (("--devices=2", "--accumulate=4"), 1),
}
CASES = [pytest.param(*case, id=name) for name, case in LAYOUTS.items()]
CASES += [pytest.param(*case, id=name, marks=pytest.mark.slow) for name, case in MORE.items()]


@pytest.mark.parametrize(("options", "processes"), CASES)
def test_same_losses_and_parameters(one_device, tmp_path, options, processes):
    """With dropout. The attention's key biases are left out: their true gradient is zero, and Adam moves them by
    rounding noise.
    """
    found = train(tmp_path / "found.npz", *options, processes=processes)
    assert found.keys() == one_device.keys()
    np.testing.assert_allclose(found["losses"], one_device["losses"], rtol=1e-5)
    assert one_device["losses"][-1] < 0.98 * one_device["losses"][0]
    for name in found:
        if not name.endswith("key.bias"):
            np.testing.assert_allclose(found[name], one_device[name], atol=1e-4, err_msg=name)


def compiled_step(parallel: Parallel) -> str:
    transform = optimizer()
    state = parallel.place(TrainState.create(model(), transform))
    batch = {"data": np.zeros((16, 8, 8, 1), np.uint8), "position": np.arange(16, dtype=np.int32)}
    batch = jax.device_put(batch, parallel.batch_sharding)
    program = parallel.compile(make_train_step(TASK, transform))
    options = {"xla_backend_optimization_level": 0}
    return program.lower(state, {}, (batch,), jax.random.key(0)).compile(compiler_options=options).as_text()


def test_the_compiled_step_adds_up_gradients_and_moves_nothing_else(tmp_path):
    """All-reduces of the parameters' size in all, and no other collective of more than a few numbers."""
    code = (
        "from tests.training.test_parallel import *; from pathlib import Path;"
        f"Path({str(tmp_path / 'step.txt')!r}).write_text(compiled_step(Parallel()))"
    )
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **environment})
    sizes = collectives((tmp_path / "step.txt").read_text())
    parameters = sum(leaf.size for leaf in jax.tree.leaves(model()))
    reduced = sum(size for kind, size in sizes if kind == "all-reduce")
    assert parameters <= reduced <= 1.1 * parameters + 1000
    others = [(kind, size) for kind, size in sizes if kind != "all-reduce"]
    assert all(size <= 64 for _, size in others), others


def collectives(text: str) -> list[tuple[str, int]]:
    """(kind, numbers in its result) of each collective of a compiled program."""
    found = []
    pattern = r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
    for shapes, kind in re.findall(pattern, text):
        dimensions = re.findall(r"\w+\[([\d,]*)\]", shapes)
        found.append((kind, sum(int(np.prod([int(n) for n in d.split(",") if n])) for d in dimensions)))
    return found


def test_bad_input(unchecked):
    with pytest.raises(ValueError, match=r'strategy = \'ddp\'; allowed: "mesh", "pmap"'):
        Parallel("ddp")
    with pytest.raises(ValueError, match="whole parameters on each device"):
        Parallel("pmap", "fsdp")
    with pytest.raises(
        ValueError, match=r"batch_size = 10 cannot be divided over 1 devices and 4 parts .* multiple of 4"
    ):
        Parallel().check_batch_size(10, accumulate=4)
    with pytest.raises(ValueError, match=r"does not fit parameters\.conv_in\.kernel of shape"):
        Parallel(rules=(("conv_in.kernel", ("data",)),)).place(TrainState.create(model(), optimizer()))
    assert len(SOURCE) == 1442
