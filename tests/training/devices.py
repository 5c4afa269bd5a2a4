"""A training of 20 steps on as many devices as asked, printed as JSON: run by test_parallel.py in processes of its own.

python -m tests.training.devices OUT.npz --devices=8 [--strategy=mesh] [--rules=fsdp] [--processes=2 --process=0 --port=...]
"""

import argparse
import dataclasses
import functools
import os

from tests.flags import devices


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--strategy", default="mesh")
    parser.add_argument("--rules", default="")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--steps_per_call", type=int, default=1)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--stratified", action="store_true")
    options = parser.parse_args()
    os.environ["XLA_FLAGS"] = devices(options.devices // options.processes)
    import jax

    if options.processes > 1:
        jax.distributed.initialize(f"localhost:{options.port}", options.processes, options.process)
    import numpy as np

    from score_sde import losses
    from score_sde.data import training_batches
    from score_sde.devices import gathered
    from score_sde.losses.times import Stratified, Uniform
    from score_sde.training import averages
    from score_sde.training.parallel import Parallel
    from score_sde.training.state import TrainState
    from score_sde.training.step import make_train_step
    from tests.training.problem import SCALING, SOURCE, TASK, model, optimizer

    parallel = Parallel(options.strategy, options.rules or ())
    times = Stratified(axis_name=parallel.axis_name) if options.stratified else Uniform()
    task = dataclasses.replace(TASK, loss_function=functools.partial(losses.denoising, times=times))
    transform, decays = optimizer(), {"ema": averages.constant(0.99)}
    step = make_train_step(task, transform, decays, distribute=parallel.distribute, accumulate=options.accumulate)
    program = parallel.compile(step)
    state = parallel.place(TrainState.create(model(), transform, decays))
    batches = iter(training_batches(SOURCE, 16, seed=3, sharding=parallel.batch_sharding))
    key, curve = jax.random.key(5), []
    for _ in range(20 // options.steps_per_call):
        state, metrics = program(state, {}, tuple(next(batches) for _ in range(options.steps_per_call)), key)
        curve.append(np.asarray(metrics["loss"]))
    parameters = gathered({f"raw.{n}": v for n, v in state.parameters.items()})
    parameters |= gathered({f"ema.{n}": v for n, v in state.averages["ema"].items()})
    assert SCALING.levels == 17
    if jax.process_index() == 0:
        np.savez(options.out, losses=np.concatenate(curve), **{n: np.asarray(v) for n, v in parameters.items()})


if __name__ == "__main__":
    main()
