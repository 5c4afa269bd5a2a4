"""Features and metrics on a CPU: images a second of EfficientNet-Lite0, with its depthwise convolutions as sums of shifted
images and as XLA's grouped convolutions; seconds of the metrics.

    python experiments/benchmarks/metrics.py
"""

import argparse
import statistics
import time
from collections.abc import Callable
from unittest import mock

import jax
import numpy as np

from score_sde.evaluation import metrics
from score_sde.evaluation.features import efficientnet, efficientnet_lite0


def seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """The median, after one call that compiles."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def features(size: int, batch: int) -> dict[str, float]:
    """Images a second."""
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    ours = batch / seconds(lambda: efficientnet_lite0(size=size)(images))
    jax.clear_caches()
    with mock.patch.object(efficientnet, "_shifted", efficientnet._grouped):
        plain = batch / seconds(lambda: efficientnet_lite0(size=size)(images))
    jax.clear_caches()
    return {"shifted": ours, "grouped": plain}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    for size in (64, 96):
        found = features(size, options.batch)
        print(f"EfficientNet-Lite0, {size} px: {found['shifted']:.0f} images/s, grouped {found['grouped']:.0f}")
    draw = np.random.default_rng(0)
    for n, d in ((5000, 1280), (5000, 2048)):
        one, other = (draw.normal(size=(n, d)) + shift for shift in (0, 0.1))
        a, b = metrics.Moments.of(one), metrics.Moments.of(other)
        for name, function in {
            "frechet of moments": lambda a=a, b=b: metrics.frechet(a, b),
            "frechet of features": lambda one=one, other=other: metrics.frechet(one, other),
            "kid": lambda one=one, other=other: metrics.kid(one, other),
            "prdc": lambda one=one, other=other: metrics.prdc(one, other, 5),
            "vendi": lambda one=one: metrics.vendi(one),
        }.items():
            print(f"{name:<20} n = {n}, d = {d}: {seconds(function, 3):.2f} s")


if __name__ == "__main__":
    main()
