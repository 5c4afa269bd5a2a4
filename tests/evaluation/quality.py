"""Sample quality of a small model of images, on the devices of this process or of several: run by test_sample_quality.py.

python -m tests.evaluation.quality FOLDER [--devices=8] [--processes=2 --process=0 --port=...] [--network]
                                          [--batch=32] [--kill_at=BATCH]
"""

import argparse
import os
import signal

from tests.flags import devices

METRICS = (
    "fd",
    "fd_jackknife",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "vendi",
    "sliced_w2",
    "authpct",
    "fld",
)


def quality(folder, network: bool = False, batch: int = 32, kill_at: int = 0):
    """{metric: entry}, of 90 samples against two splits of random images."""
    from pathlib import Path

    import jax
    import jax.numpy as jnp
    import numpy as np

    import score_sde as ss
    from score_sde.data import ArraySource, DataScaling
    from score_sde.evaluation import References, SampleQuality, Subject, evaluate, samples
    from score_sde.evaluation.features import efficientnet_lite0, pixels

    draw = np.random.default_rng(0)
    data = {split: draw.integers(0, 256, (n, 4, 4, 1)).astype(np.uint8) for split, n in (("train", 101), ("test", 70))}
    references = References(lambda split: ArraySource(split, data[split], levels=256), Path(folder) / "statistics", 24)
    features = efficientnet_lite0(size=32) if network else pixels()
    model = ss.FunctionDenoiser(ss.VP(), lambda x, t, condition: 0.9 * jnp.tanh(x), predicts="data")
    key, scaling = jax.random.key(0), DataScaling(levels=256)
    stream = samples(model, key, 90, (4, 4, 1), scaling, sampler=ss.samplers.ddim, steps=3, batch_size=batch)
    drawn = 0

    class Mortal(SampleQuality):
        def measure(self, subject, batch, key):
            nonlocal drawn
            drawn += 1
            if drawn == kill_at + 1 and kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().measure(subject, batch, key)

    measures = {"quality": Mortal(references, features, METRICS)}
    file = Path(folder) / "1.json"
    found = evaluate(Subject(model, scaling), measures, stream, key, file, save_every=0.0, progress=False)
    print(f"batches drawn: {drawn}")
    return found and found["quality"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--kill_at", type=int, default=0)
    options = parser.parse_args()
    os.environ["XLA_FLAGS"] = devices(options.devices)
    import jax

    if options.processes > 1:
        jax.distributed.initialize(f"localhost:{options.port}", options.processes, options.process)
    quality(options.folder, options.network, options.batch, options.kill_at)


if __name__ == "__main__":
    main()
