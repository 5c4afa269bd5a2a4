"""How fast batches of 32 x 32 x 3 images come from an array source.

    python experiments/benchmarks/data.py [--seconds=3] [--repeats=5]

Each row is the median over the repeats, after a warm-up; the plain NumPy gather of a shuffled order, measured in the
same run, is what the machine can do at best.
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import jax
import numpy as np

from score_sde import data

BATCH = 128
EXAMPLES = 50_000


def gather(source: data.ArraySource) -> Iterator[np.ndarray]:
    """The baseline: nothing but fancy indexing."""
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(source))
        for start in range(0, len(order) - BATCH, BATCH):
            yield source.data[order[start : start + BATCH]]


def rate(batches: Iterator, seconds: float) -> float:
    """Images a second."""
    images, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        next(batches)
        images += BATCH
    return images / (time.perf_counter() - start)


def main(seconds: float, repeats: int) -> None:
    """Measure every pipeline in turn, round by round, and print the medians."""
    pixels = np.random.default_rng(1).integers(0, 256, (EXAMPLES, 32, 32, 3), np.uint8)
    source = data.ArraySource("noise", pixels, flippable=True)
    mesh = jax.make_mesh((len(jax.devices()),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    pipelines = {
        "NumPy gather": gather(source),
        "batches, in memory": iter(data.training_batches(source, BATCH)),
        "batches, on the devices": iter(data.training_batches(source, BATCH, sharding=sharding)),
        "batches, 2 worker processes": iter(data.training_batches(source, BATCH, workers=2)),
    }
    for pipeline in pipelines.values():
        rate(pipeline, seconds)
    rates = {name: [] for name in pipelines}
    for _ in range(repeats):
        for name, pipeline in pipelines.items():
            rates[name].append(rate(pipeline, seconds))
    best = statistics.median(rates["NumPy gather"])
    print(f"{jax.devices()[0].platform}, JAX {jax.__version__}, batches of {BATCH} of {EXAMPLES} images, flips on")
    for name, values in rates.items():
        median = statistics.median(values)
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"{name:30s} {median:10,.0f} images/s   {median / best:5.2f} of the gather   ({spread})")
    for pipeline in list(pipelines.values())[1:]:
        pipeline.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    arguments.add_argument("--repeats", type=int, default=5)
    main(**vars(arguments.parse_args()))
