"""What the training loop costs around its step, and what several steps or several parts in one device call cost.

    python experiments/benchmarks/training.py [--config configs/quickstart.py] [--rounds 10] [--steps 100]

Loop: a real training (data pipeline, metrics every 50 steps, progress). Between its rounds of --steps steps the very
same number of bare steps, on batches that are there already, take their turn; the ratio of the two times is the cost
of the loop. Variants: the plain step, ten steps in one device call, and the batch in four micro-batches, in turn.
Ratios are medians over rounds of times one after the other, as a shared machine demands.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import jax
from ml_collections import ConfigDict

import score_sde as ss
from score_sde import config as configs
from score_sde.data import training_batches
from score_sde.experiment import experiment_of
from score_sde.training import TrainState, make_train_step


class Bare:
    """The compiled step on batches at hand, ``together`` steps in one device call."""

    def __init__(self, config, together: int = 1, accumulate: int = 1):
        experiment = experiment_of(config)
        parallel, task = experiment.parallel, experiment.task
        optimizer, _ = experiment.optimizer()
        step = make_train_step(task, optimizer, experiment.averages, accumulate=accumulate)
        self.program = parallel.compile(step)
        self.state = parallel.place(TrainState.create(task.init(jax.random.key(0)), optimizer, experiment.averages))
        batch_size = experiment.config.batches.batch_size
        reader = iter(training_batches(experiment.source(), batch_size, seed=0, sharding=parallel.batch_sharding))
        self.batches = tuple(next(reader) for _ in range(together))
        reader.close()
        self.key = jax.random.key(0)
        self.seconds(2 * together)  # compiles

    def seconds(self, steps: int) -> float:
        """For so many steps, from an idle device to an idle device."""
        began = time.perf_counter()
        for _ in range(0, steps, len(self.batches)):
            self.state, metrics = self.program(self.state, {}, self.batches, self.key)
        jax.block_until_ready((self.state.step, metrics))
        return time.perf_counter() - began


def loop_cost(config, rounds: int, steps: int) -> dict[str, float]:
    """Milliseconds a step, in the loop and bare, and the ratio."""
    bare = Bare(config, config["training"]["steps_per_call"])
    inside: list[float] = []
    outside: list[float] = []
    began = None

    def hook(state, run):
        nonlocal began
        jax.block_until_ready(state.step)
        if began is not None:
            inside.append(time.perf_counter() - began)
            outside.append(bare.seconds(steps))
        began = time.perf_counter()

    config["training"]["steps"] = (rounds + 1) * steps
    with tempfile.TemporaryDirectory() as folder:
        ss.train(ConfigDict(config), Path(folder) / "run", hooks=[(steps, hook)])
    ratio = statistics.median(a / b for a, b in zip(inside, outside, strict=True))
    return {
        "loop, ms a step": 1e3 * statistics.median(inside) / steps,
        "bare, ms a step": 1e3 * statistics.median(outside) / steps,
        "ratio": ratio,
    }


def variants(config, rounds: int, steps: int) -> dict[str, float]:
    """Each variant's time over the plain step's."""
    programs = {
        "plain": Bare(config),
        "10 steps in one call": Bare(config, together=10),
        "4 parts": Bare(config, accumulate=4),
    }
    took: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            took[name].append(program.seconds(steps))
    return {
        name: statistics.median(a / b for a, b in zip(times, took["plain"], strict=True))
        for name, times in took.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/quickstart.py")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    config = configs.read(options.config).to_dict()
    # What is done now and then has its own price, which is not the loop's: held-out loss, pictures, checkpoints.
    never = 10**9
    config["training"].update(evaluate_every=never, checkpoint_every=never, snapshot_every=never)
    config["logging"] = {"preview": 0}
    found = {"device": jax.devices()[0].device_kind, "jax": jax.__version__}
    for together in (1, 10):
        config["training"]["steps_per_call"] = together
        cost = loop_cost(config, options.rounds, options.steps)
        found[f"loop, steps_per_call {together}"] = cost
        print(
            f"steps_per_call {together}: " + ", ".join(f"{name} {value:.3f}" for name, value in cost.items()),
            flush=True,
        )
    found["variants"] = variants(config, options.rounds, options.steps)
    print("time of a step over the plain step's: " + ", ".join(f"{n} {v:.3f}" for n, v in found["variants"].items()))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
