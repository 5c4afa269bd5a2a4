"""Training does not depend on the number of devices, nor on how the step is laid over them."""

import json
import math
import os
import re
import socket
import subprocess
import sys
from collections import Counter

import jax
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde.training import averages
from score_sde.training.parallel import Parallel
from score_sde.training.state import TrainState
from score_sde.training.step import make_train_step
from tests.flags import devices
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
    return train(tmp_path_factory.mktemp("one") / "one.npz", "--devices=1", "--stratified")


LAYOUTS = {
    "8 devices": (("--devices=8",), 1),
    "8 devices, FSDP": (("--devices=8", "--rules=fsdp"), 1),
    "2 processes of 1 device": (("--devices=2",), 2),
}
MORE = {
    "2 devices": (("--devices=2",), 1),
    "2 devices, FSDP": (("--devices=2", "--rules=fsdp"), 1),
    "2 devices, pmap": (("--devices=2", "--strategy=pmap"), 1),
    "8 devices, pmap": (("--devices=8", "--strategy=pmap"), 1),
    "2 processes of 2 devices, FSDP": (("--devices=4", "--rules=fsdp"), 2),
    "2 processes of 1 device, pmap": (("--devices=2", "--strategy=pmap"), 2),
    "5 steps a call": (("--steps_per_call=5",), 1),
    "8 devices, pmap, 5 steps a call": (("--devices=8", "--strategy=pmap", "--steps_per_call=5"), 1),
    "2 devices, FSDP, 5 steps a call": (("--devices=2", "--rules=fsdp", "--steps_per_call=5"), 1),
}
PARTS = {
    "1 device": (),
    "2 devices": ("--devices=2",),
    "2 devices, pmap": ("--devices=2", "--strategy=pmap"),
    "2 devices, FSDP": ("--devices=2", "--rules=fsdp"),
}
CASES = [pytest.param(*case, id=name) for name, case in LAYOUTS.items()]
CASES += [pytest.param(*case, id=name, marks=pytest.mark.slow) for name, case in MORE.items()]


@pytest.mark.parametrize(("options", "processes"), CASES)
def test_same_losses_and_parameters(one_device, tmp_path, options, processes):
    """With dropout, and times that are even over the whole batch."""
    assert_agree(train(tmp_path / "found.npz", "--stratified", *options, processes=processes), one_device)


@pytest.fixture(scope="module")
def in_one_part(tmp_path_factory):
    return train(tmp_path_factory.mktemp("one") / "one.npz", "--devices=1")


@pytest.mark.slow
@pytest.mark.parametrize("options", PARTS.values(), ids=PARTS.keys())
def test_the_same_in_micro_batches(in_one_part, tmp_path, options):
    assert_agree(train(tmp_path / "found.npz", "--accumulate=4", *options), in_one_part)


def assert_agree(found, one_device):
    """The attention's key biases are left out: their true gradient is zero, and Adam moves them by rounding noise."""
    assert found.keys() == one_device.keys()
    np.testing.assert_allclose(found["losses"], one_device["losses"], rtol=1e-5)
    assert one_device["losses"][-1] < 0.98 * one_device["losses"][0]
    for name in found:
        if not name.endswith("key.bias"):
            np.testing.assert_allclose(found[name], one_device[name], atol=1e-4, err_msg=name)


def compiled_step(parallel: Parallel) -> dict:
    """The compiled step of a small network, the bytes of the state that lie on each device, and (shape,
    shape on a device) of each parameter.
    """
    network = ss.networks.NCSNpp(8, 1, nf=16, ch_mult=(1,), num_res_blocks=1, attn_resolutions=(), rngs=nnx.Rngs(0))
    transform, decays = optimizer(), {"ema": averages.constant()}
    model = ss.NetworkDenoiser(ss.VP(), network, predicts="noise")
    state = parallel.place(TrainState.create(model, transform, decays))
    batch = {"data": np.zeros((16, 8, 8, 1), np.uint8), "position": np.arange(16, dtype=np.int32)}
    batch = jax.device_put(batch, parallel.batch_sharding)
    program = parallel.compile(make_train_step(TASK, transform, decays, distribute=parallel.distribute))
    lowered = program.lower(state, {}, (batch,), jax.random.key(0))
    shards = [shard.data for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards]
    memory = [sum(data.nbytes for data in shards if device in data.devices()) for device in jax.devices()]
    parameters = [(a.shape, a.sharding.shard_shape(a.shape)) for a in state.parameters.values()]
    gathers = lowered.as_text().count("stablehlo.all_gather")
    return {"text": lowered.compile().as_text(), "gathers": gathers, "memory": memory, "parameters": parameters}


@pytest.fixture(scope="module")
def on_8_devices(tmp_path_factory):
    """What ``compiled_step`` says for whole and for divided parameters, in a process with eight devices."""
    path = tmp_path_factory.mktemp("steps") / "steps.json"
    code = (
        "from tests.training.test_parallel import *; from pathlib import Path; import json;"
        "found = [compiled_step(Parallel(rules=rules)) for rules in ((), 'fsdp')];"
        f"Path({str(path)!r}).write_text(json.dumps(found))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "XLA_FLAGS": devices(8)})
    return json.loads(path.read_text())


def test_data_parallel_adds_up_gradients_once_and_moves_nothing_else(on_8_devices):
    """One all-reduce, of the parameters' size and a few numbers more."""
    whole, _ = on_8_devices
    size = sum(math.prod(shape) for shape, _ in whole["parameters"])
    [(kind, shapes)] = collectives(whole["text"])
    assert kind == "all-reduce"
    assert size <= sum(math.prod(shape) for shape in shapes) <= size + 64


def test_fsdp_gathers_parameters_and_scatters_gradients_and_moves_nothing_else(on_8_devices):
    """At most two gathers of each divided parameter, one reduction of each gradient (the same gradient of two biases is
    reduced once), and single numbers.
    """
    _, divided = on_8_devices
    found = collectives(divided["text"])
    assert {kind for kind, _ in found} == {"all-gather", "reduce-scatter", "all-reduce"}
    moved = {kind: [tuple(shape) for k, shapes in found if k == kind for shape in shapes] for kind, _ in found}
    apart = [(tuple(shape), tuple(part)) for shape, part in divided["parameters"] if shape != part]
    whole = [tuple(shape) for shape, part in divided["parameters"] if shape == part]
    assert len(apart) > 10
    gathered, parameters = Counter(moved["all-gather"]), Counter(shape for shape, _ in apart)
    assert gathered.keys() == parameters.keys()
    assert all(gathered[shape] <= 2 * parameters[shape] for shape in gathered)
    # XLA on CPUs merges the two gathers of a parameter. Before, there are two of all but the first convolution's.
    assert 1.8 * len(apart) < divided["gathers"] <= 2 * len(apart)
    assert Counter(moved["reduce-scatter"]) == Counter(part for _, part in apart)
    assert Counter(shape for shape in moved["all-reduce"] if math.prod(shape) > 1) <= Counter(whole)


def test_fsdp_divides_the_state_evenly(on_8_devices):
    """Parameters, averages and the optimiser's moments; what stays whole is less than a tenth."""
    whole, divided = on_8_devices
    assert len(set(divided["memory"])) == 1
    assert divided["memory"][0] < (1 / 8 + 0.1) * whole["memory"][0]


def collectives(text: str) -> list[tuple[str, list[tuple[int, ...]]]]:
    """(kind, shapes of its results) of each collective of a compiled program."""
    found = []
    pattern = r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
    for shapes, kind in re.findall(pattern, text):
        dimensions = re.findall(r"\w+\[([\d,]*)\]", shapes)
        found.append((kind, [tuple(int(n) for n in d.split(",") if n) for d in dimensions]))
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
