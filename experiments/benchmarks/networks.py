"""How fast the CIFAR-10 NCSN++ is: compile, forward, training step, memory, and the same inside a loop.

    python experiments/benchmarks/networks.py [--out networks.json] [--batch 8] [--repeats 5] [--torch]

Every figure is the median of the repeats after one call to warm up. `cpu` is the processor time of the process, which
tells a busy machine from a slow program. A step is the loss with dropout, its gradient, Adam and EMA. The loops run
two iterations inside one `lax.scan`; the ratio is their time for one iteration over the time outside.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from score_sde.networks import NCSNpp, describe

LOOP = 2


def programs(batch: int, dtype: str, remat: str):
    """The functions to time, each with its arguments; a dictionary from name to (function, arguments, iterations)."""
    network = NCSNpp(
        32, 3, scale_by_sigma=True, data_in_unit_range=True, dtype=jnp.dtype(dtype), remat=remat, rngs=nnx.Rngs(0)
    )
    print(describe(network, (32, 32, 3)), flush=True)
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    key = jax.random.key(0)
    x, sigma = jax.random.uniform(key, (batch, 32, 32, 3)), jnp.geomspace(0.01, 50.0, batch)
    keys = jax.random.split(key, batch)
    optimizer = optax.adam(2e-4)
    state = (params, optimizer.init(params), jax.tree.map(jnp.copy, params))

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
        params, moments, ema = state
        value, gradient = jax.value_and_grad(loss)(params, x, keys)
        updates, moments = optimizer.update(gradient, moments)
        params = optax.apply_updates(params, updates)
        ema = jax.tree.map(lambda e, p: e + 0.001 * (p - e), ema, params)
        return (params, moments, ema), value

    def loop(body, carry):
        return jax.lax.scan(body, carry, None, length=LOOP)[0]

    def forward_loop(params, x):
        return loop(lambda x, _: (forward(params, x), None), x)

    def score_and_vjp_loop(params, x):
        return loop(lambda x, _: (sum(score_and_vjp(params, x)), None), x)

    def step_loop(state, x, keys):
        return loop(lambda state, _: (step(state, x, keys)[0], None), state)

    return {
        "forward": (forward, (params, x), 1),
        "score + vjp": (score_and_vjp, (params, x), 1),
        "step": (step, (state, x, keys), 1),
        "forward in a loop": (forward_loop, (params, x), LOOP),
        "score + vjp in a loop": (score_and_vjp_loop, (params, x), LOOP),
        "step in a loop": (step_loop, (state, x, keys), LOOP),
    }


def measure(function, arguments, iterations: int, repeats: int) -> dict[str, float]:
    """Seconds to trace and compile, seconds of one iteration, and GB of temporary and argument memory."""
    start = time.perf_counter()
    lowered = jax.jit(function).lower(*arguments)
    traced, compile_cpu = time.perf_counter(), time.process_time()
    compiled = lowered.compile()
    done, compile_cpu = time.perf_counter(), time.process_time() - compile_cpu
    jax.block_until_ready(compiled(*arguments))
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(compiled(*arguments))
        walls.append((time.perf_counter() - wall) / iterations)
        cpus.append((time.process_time() - cpu) / iterations)
    memory = compiled.memory_analysis()
    return {
        "trace": traced - start,
        "compile": done - traced,
        "compile_cpu": compile_cpu,
        "seconds": statistics.median(walls),
        "best": min(walls),
        "cpu": statistics.median(cpus),
        "temporary_gb": memory.temp_size_in_bytes / 1e9,
        "peak_gb": (memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes) / 1e9,
    }


def torch_convolutions(batch: int, repeats: int) -> dict[str, float]:
    """PyTorch on the 3x3 convolutions of the same network alone, each behind a group norm and SiLU: a floor for it.

    The resampling, attention, 1x1 convolutions, sums and concatenations are left out, and so is the graph between the
    layers: each convolution has its own input and its own gradient.
    """
    import torch
    from torch.nn import functional

    torch.set_num_threads(2)
    layers, channels, kept = [], 128, [128]
    levels = list(zip((128, 256, 256, 256), (32, 16, 8, 4), strict=True))

    def block(inside: int, outside: int, size: int) -> int:
        layers.extend([(inside, outside, size), (outside, outside, size)])
        return outside

    for width, size in levels:
        for _ in range(4):
            channels = block(channels, width, size)
            kept.append(channels)
        if size > 4:
            kept.append(block(channels, channels, size // 2))
    block(channels, channels, 4)
    block(channels, channels, 4)
    for width, size in reversed(levels):
        for _ in range(5):
            channels = block(channels + kept.pop(), width, size)
        if size < 32:
            block(channels, channels, 2 * size)
    modules = [
        (torch.nn.GroupNorm(32, inside), torch.nn.Conv2d(inside, outside, 3, padding=1))
        for inside, outside, _ in layers
    ]
    inputs = [torch.randn(batch, inside, size, size, requires_grad=True) for inside, _, size in layers]
    parameters = [p for pair in modules for module in pair for p in module.parameters()]
    optimizer, averages = torch.optim.Adam(parameters), [p.detach().clone() for p in parameters]

    def forward():
        with torch.no_grad():
            for (norm, conv), x in zip(modules, inputs, strict=True):
                conv(functional.silu(norm(x)))

    def step():
        optimizer.zero_grad()
        for (norm, conv), x in zip(modules, inputs, strict=True):
            y = conv(functional.dropout(functional.silu(norm(x)), 0.1))
            x.grad = None
            y.backward(y.detach())
        optimizer.step()
        with torch.no_grad():
            for average, p in zip(averages, parameters, strict=True):
                average.lerp_(p, 0.001)

    figures = {"gflop_an_image": sum(18 * i * o * s * s for i, o, s in layers) / 1e9}
    for function in (forward, step):
        function()
        walls, cpus = [], []
        for _ in range(repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        figures |= {
            f"{function.__name__}, seconds": statistics.median(walls),
            f"{function.__name__}, best": min(walls),
            f"{function.__name__}, cpu": statistics.median(cpus),
        }
    return figures


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--remat", default="none")
    parser.add_argument("--only", nargs="*", default=None, help="names of programs, e.g. --only forward step")
    parser.add_argument("--torch", action="store_true", help="time PyTorch on the same convolutions too")
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
    todo = programs(options.batch, options.dtype, options.remat)
    print(f"\n{'':<24}" + "".join(f"{name:>14}" for name in columns), flush=True)
    for name, (function, arguments, iterations) in todo.items():
        if options.only is not None and name not in options.only:
            continue
        row = measure(function, arguments, iterations, options.repeats)
        outside = results["programs"].get(name.removesuffix(" in a loop"))
        if iterations > 1 and outside is not None:
            row["ratio"], row["cpu_ratio"] = row["seconds"] / outside["seconds"], row["cpu"] / outside["cpu"]
        results["programs"][name] = row
        ratio = f"   x {row['ratio']:.2f} (cpu x {row['cpu_ratio']:.2f})" if "ratio" in row else ""
        print(f"{name:<24}" + "".join(f"{row[column]:>14.2f}" for column in columns) + ratio, flush=True)
    if options.torch:
        results["torch, convolutions alone"] = torch_convolutions(options.batch, options.repeats)
        print("PyTorch, convolutions alone:", json.dumps(results["torch, convolutions alone"], indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
