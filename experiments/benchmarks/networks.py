"""How fast the CIFAR-10 NCSN++ is: compile, forward, training step, memory, and the same inside a loop.

    python experiments/benchmarks/networks.py [--out networks.json] [--batch 8] [--repeats 5] [--torch [--tuned]]

Every figure is the median of the repeats after one call to warm up. `cpu` is the processor time of the process, which
tells a busy machine from a slow program. A step is the loss with dropout, its gradient, Adam and EMA. The loops run
two iterations inside one `lax.scan`; the ratio is their time for one iteration over the time outside.
"""

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from score_sde.networks import NCSNpp, describe

LOOP = 2


def subject(batch: int, **options):
    """The network, a batch and its noise levels."""
    network = NCSNpp(32, 3, scale_by_sigma=True, data_in_unit_range=True, rngs=nnx.Rngs(0), **options)
    return network, jax.random.uniform(jax.random.key(0), (batch, 32, 32, 3)), jnp.geomspace(0.01, 50.0, batch)


def programs(batch: int, dtype: str, remat: str):
    """The functions to time, each with its arguments; a dictionary from name to (function, arguments, iterations)."""
    network, x, sigma = subject(batch, dtype=jnp.dtype(dtype), remat=remat)
    print(describe(network, (32, 32, 3)), flush=True)
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    keys = jax.random.split(jax.random.key(0), batch)
    optimizer = optax.adam(2e-4)
    state = (params, optimizer.init(params), params, jnp.zeros(()))  # with the average, and the last loss

    def forward(params, x, keys=None):
        return nnx.merge(graph, params, rest)(x, sigma, dropout_keys=keys)

    def score_and_vjp(params, x):
        score, pull = jax.vjp(lambda x: forward(params, x), x)
        return score, pull(x)[0]

    def loss(params, x, keys):
        noise = jax.random.normal(keys[0], x.shape)
        noisy = x + sigma[:, None, None, None] * noise
        return jnp.mean((forward(params, noisy, keys) * sigma[:, None, None, None] + noise) ** 2)

    def step(state, x, keys):
        params, moments, ema, _ = state
        value, gradient = jax.value_and_grad(loss)(params, x, keys)
        updates, moments = optimizer.update(gradient, moments)
        params = optax.apply_updates(params, updates)
        ema = jax.tree.map(lambda e, p: e + 0.001 * (p - e), ema, params)
        return params, moments, ema, value

    def loop(body, carry):
        return jax.lax.scan(body, carry, None, length=LOOP)[0]

    def forward_loop(params, x):
        return loop(lambda x, _: (forward(params, x), None), x)

    def score_and_vjp_loop(params, x):
        return loop(lambda x, _: (sum(score_and_vjp(params, x)), None), x)

    def step_loop(state, x, keys):
        return loop(lambda state, _: (step(state, x, keys), None), state)

    return {
        "forward": (forward, (params, x), 1),
        "score + vjp": (score_and_vjp, (params, x), 1),
        "step": (step, (state, x, keys), 1),
        "forward in a loop": (forward_loop, (params, x), LOOP),
        "score + vjp in a loop": (score_and_vjp_loop, (params, x), LOOP),
        "step in a loop": (step_loop, (state, x, keys), LOOP),
    }


def measure(
    function, arguments, iterations: int, repeats: int, *, in_place: bool
) -> tuple[dict[str, float], Callable[[], object]]:
    """Seconds to trace and compile, seconds of one iteration, GB of temporary and argument memory; and the program.

    ``in_place``: the result takes the place of the first argument, as a state in training does.
    """
    start = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=0 if in_place else ()).lower(*arguments)
    traced, compile_cpu = time.perf_counter(), time.process_time()
    compiled = lowered.compile()
    done, compile_cpu = time.perf_counter(), time.process_time() - compile_cpu
    first, *others = jax.tree.map(jnp.copy, arguments) if in_place else arguments

    def program():
        nonlocal first
        result = jax.block_until_ready(compiled(first, *others))
        first = result if in_place else first

    program()
    walls, cpus = zip(*(clocked(program) for _ in range(repeats)), strict=True)
    memory = compiled.memory_analysis()
    sizes = (memory.temp_size_in_bytes, memory.argument_size_in_bytes, memory.output_size_in_bytes)
    row = {
        "trace": traced - start,
        "compile": done - traced,
        "compile_cpu": compile_cpu,
        "seconds": statistics.median(walls) / iterations,
        "best": min(walls) / iterations,
        "cpu": statistics.median(cpus) / iterations,
        "temporary_gb": memory.temp_size_in_bytes / 1e9,
        "peak_gb": (sum(sizes) - memory.alias_size_in_bytes) / 1e9,
    }
    return row, program


def clocked(program: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    program()
    return time.perf_counter() - wall, time.process_time() - cpu


def serve_torch(connection: Any, batch: int, tuned: bool) -> None:
    """The other process: answers the name of a program with its wall and processor seconds."""
    import networks_torch

    network, x, sigma = subject(batch)
    network = awake(network, 0.02)
    ours = np.asarray(jax.jit(lambda network: network(x, sigma))(network))
    answer(connection, networks_torch.programs(network, x, sigma, tuned=tuned), ours)


def awake(network: Any, scale: float) -> Any:
    """With noise on every parameter: a fresh network's last layers are nearly silent, and a comparison would not see all."""
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [p + scale * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys, strict=True)]
    return nnx.merge(graph, jax.tree.unflatten(tree, noisy), rest)


def answer(connection: Any, todo: dict[str, Callable], ours: np.ndarray) -> None:
    """Say how far their output is from ours, then the seconds of each program that is asked for."""
    connection.send(float(np.linalg.norm(todo["forward"]().numpy() - ours) / np.linalg.norm(ours)))
    while name := connection.recv():
        connection.send(clocked(todo[name]))


def against_torch(
    compiled: dict[str, Callable[[], object]], serve: Callable, arguments: tuple, repeats: int
) -> dict[str, dict]:
    """PyTorch's times, in turn with ours. It has a process of its own, so that neither has the other's threads or heap."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    other = context.Process(target=serve, args=(there, *arguments), daemon=True)
    other.start()
    difference = here.recv()
    if difference > 1e-4:
        raise RuntimeError(f"the PyTorch network is another one: its output differs by {difference:.1e} (relative L2)")

    def theirs(name: str) -> tuple[float, float]:
        here.send(name)
        return here.recv()

    results = {}
    for name in ("forward", "score + vjp", "step"):
        if name in compiled:
            theirs(name), clocked(compiled[name])
            rounds = np.array([(theirs(name), clocked(compiled[name])) for _ in range(repeats)])  # round, who, clock
            seconds, cpu = np.median(rounds[:, 0], axis=0)
            ratio, cpu_ratio = np.median(rounds[:, 0] / rounds[:, 1], axis=0)
            results[name] = {"seconds": seconds, "cpu": cpu, "ratio": ratio, "cpu_ratio": cpu_ratio}
            print(f"{name:<24}{seconds:>10.2f}   x {ratio:.2f} (cpu x {cpu_ratio:.2f})", flush=True)
    here.send("")
    return results


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--remat", default="none")
    parser.add_argument("--only", nargs="*", default=None, help="names of programs, e.g. --only forward step")
    parser.add_argument("--torch", action="store_true", help="time the same network in PyTorch too")
    parser.add_argument(
        "--tuned",
        action="store_true",
        help="give PyTorch channels last and fused updates, which the original does not use",
    )
    options = parser.parse_args()

    device = jax.devices()[0]
    results: dict = {
        "device": f"{device.platform} {device.device_kind}",
        "machine": platform.machine(),
        "jax": jax.__version__,
        "batch": options.batch,
        "dtype": options.dtype,
        "remat": options.remat,
        "programs": {},
    }
    columns = ("trace", "compile", "compile_cpu", "seconds", "best", "cpu", "temporary_gb", "peak_gb")
    compiled: dict[str, Callable[[], object]] = {}
    todo = programs(options.batch, options.dtype, options.remat)
    print(f"\n{'':<24}" + "".join(f"{name:>14}" for name in columns), flush=True)
    for name, (function, arguments, iterations) in todo.items():
        if options.only is not None and name not in options.only:
            continue
        row, compiled[name] = measure(
            function, arguments, iterations, options.repeats, in_place=name.startswith("step")
        )
        outside = results["programs"].get(name.removesuffix(" in a loop"))
        if iterations > 1 and outside is not None:
            row["ratio"], row["cpu_ratio"] = row["seconds"] / outside["seconds"], row["cpu"] / outside["cpu"]
        results["programs"][name] = row
        ratio = f"   x {row['ratio']:.2f} (cpu x {row['cpu_ratio']:.2f})" if "ratio" in row else ""
        print(f"{name:<24}" + "".join(f"{row[column]:>14.2f}" for column in columns) + ratio, flush=True)
    if options.torch:
        print("\nPyTorch, the same network, in turn with ours: seconds, and its time over ours", flush=True)
        results["torch"] = against_torch(compiled, serve_torch, (options.batch, options.tuned), options.repeats)
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
