"""The pipeline keeps its place exactly, whatever the source, and puts batches where the sharding says."""

import os
import subprocess
import sys

import grain
import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from score_sde import data


def over_devices() -> NamedSharding:
    mesh = jax.make_mesh((len(jax.devices()),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("data"))


def to_host(batch: dict) -> dict:
    return {name: np.asarray(array) for name, array in batch.items()}


def source(n: int = 40) -> data.ArraySource:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), np.uint8)
    return data.ArraySource("noise", pixels, np.arange(n), flippable=True)


def assert_equal(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(np.asarray(a[key]), np.asarray(b[key]))


@pytest.mark.parametrize("sharded", [False, True])
def test_restores_at_every_step(any_source, sharded):
    sharding = over_devices() if sharded else None
    batches = data.Batches(any_source, 4, seed=3, flip=len(any_source.shape) == 3, epochs=2, pad=sharded)
    pipeline = data.stream(batches, sharding=sharding)
    grain.experimental.assert_equal_output_after_checkpoint(pipeline.map(to_host))


@pytest.mark.parametrize("sharded", [False, True])
def test_training_goes_on_where_it_was(sharded):
    sharding = over_devices() if sharded else None
    pipeline = data.training_batches(source(), 8, seed=1, sharding=sharding)
    first = iter(pipeline)
    for _ in range(7):
        next(first)
    state, expected = first.get_state(), [next(first) for _ in range(5)]
    assert state == {"step": 7}
    second = iter(data.training_batches(source(), 8, seed=1, sharding=sharding))
    second.set_state(state)
    for batch in expected:
        assert_equal(next(second), batch)
    first.set_state({"step": 9})  # back, with batches read ahead that must be forgotten
    assert_equal(next(first), expected[2])
    first.close()
    assert_equal(next(first), expected[3])


def test_workers_change_nothing_and_take_up_a_state_of_threads():
    threads, processes = (iter(data.training_batches(source(), 8, seed=1, workers=n)) for n in (0, 2))
    for _ in range(3):
        next(threads)
    processes.set_state(threads.get_state())
    for _ in range(5):
        assert_equal(next(processes), next(threads))
    assert processes.get_state() == threads.get_state() == {"step": 8}
    processes.close()


def test_sharded_batches_are_the_host_batches():
    sharding = over_devices()
    for on_device, on_host in zip(
        data.evaluation_batches(source(10), 8, sharding=sharding),
        data.stream(data.Batches(source(10), 8, shuffle=False, epochs=1, pad=True)),
        strict=True,
    ):
        assert all(array.sharding.is_equivalent_to(sharding, array.ndim) for array in on_device.values())
        assert_equal(on_device, on_host)


def test_eight_devices_and_one_see_the_same():
    program = """
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from score_sde import data
source = data.open_source("digits")
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
batches = iter(data.training_batches(source, 16, seed=4, sharding=NamedSharding(mesh, PartitionSpec("data"))))
expected = data.Batches(source, 16, seed=4)[0]
batch = next(batches)
assert len(batch["data"].sharding.device_set) == 8
assert batch["data"].addressable_shards[3].data.shape == (2, 8, 8, 1)
for key in expected:
    np.testing.assert_array_equal(batch[key], expected[key])
try:
    data.training_batches(source, 12, sharding=NamedSharding(mesh, PartitionSpec("data")))
except ValueError as error:
    assert "batch_size = 12 cannot be divided over 8 devices" in str(error)
print("fine")
"""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.stdout.strip() == "fine", done.stderr


def test_training_flips_what_may_be_flipped_and_evaluation_never():
    pixels = source()
    plain = data.Batches(pixels, 8, seed=1)[0]
    flipped = next(iter(data.training_batches(pixels, 8, seed=1)))
    assert (flipped["data"] != plain["data"]).any()
    np.testing.assert_array_equal(np.sort(flipped["data"], axis=2), np.sort(plain["data"], axis=2))
    assert_equal(next(iter(data.training_batches(pixels, 8, seed=1, flip=False))), plain)
    seen = np.concatenate([batch["data"] for batch in data.evaluation_batches(pixels, 16)])
    np.testing.assert_array_equal(seen, pixels.data)


def test_bad_workers():
    with pytest.raises(ValueError, match="workers = -1; allowed: 0"):
        data.training_batches(source(), 8, workers=-1)
