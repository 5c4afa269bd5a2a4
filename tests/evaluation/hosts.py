"""An evaluation by several processes: run by test_hosts.py.

python -m tests.evaluation.hosts FOLDER --processes=2 --process=0 --port=... [--stop_after=1]
"""

import argparse
import os

from tests.flags import QUICK


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stop_after", type=int, default=100)
    options = parser.parse_args()
    os.environ["XLA_FLAGS"] = QUICK
    import jax

    if options.processes > 1:
        jax.distributed.initialize(f"localhost:{options.port}", options.processes, options.process)
    import dataclasses
    import itertools
    from pathlib import Path

    import score_sde as ss
    from score_sde.evaluation import BitsPerDim, SaveSamples, Subject, evaluate, examples, samples
    from tests.evaluation.problem import KEY, MODEL, SCALING, SOURCE

    def cut_short(stream):
        return dataclasses.replace(
            stream, begin=lambda first: itertools.islice(stream.begin(first), options.stop_after)
        )

    folder, subject = Path(options.folder), Subject(MODEL, SCALING)
    bits = {"bits": BitsPerDim(repeats=1, rtol=1e-3, atol=1e-3)}
    drawn = samples(MODEL, KEY, 13, (2,), SCALING, sampler=ss.samplers.ddim, steps=3, batch_size=6)
    save = {"samples": SaveSamples(folder / "samples.npz")}
    for evaluators, stream in ((bits, examples(SOURCE, 6)), (save, drawn)):
        try:
            evaluate(subject, evaluators, cut_short(stream), KEY, folder / "7.json", save_every=0.0, progress=False)
        except Exception:
            if options.stop_after > 10:
                raise


if __name__ == "__main__":
    main()
