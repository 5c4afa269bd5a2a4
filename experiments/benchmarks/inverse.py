"""Seconds of posterior samplers against the unguided one, with the network of configs/quickstart.py.

    python experiments/benchmarks/inverse.py [--rounds 31] [--steps 10] [--batch 8]

Each round runs all of them one after the other, so that a busy machine slows all; a figure is the median over rounds of a
sampler's seconds over the unguided sampler's of the same round. The weights are random: time does not depend on them.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import score_sde as ss

inverse = ss.inverse
SHAPE, STD = (8, 8, 1), 0.1


def quickstart() -> ss.NetworkDenoiser:
    """The digits' model, as configs/quickstart.py has it."""
    network = ss.networks.NCSNpp(
        8, 1, nf=24, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(4,), dropout=0.0, fir=False,
        progressive_input="none", embedding_type="fourier_raw", fourier_scale=1.0, rngs=nnx.Rngs(0),
    )  # fmt: skip
    return ss.NetworkDenoiser(ss.VP(), network, predicts="edm", sigma_data=0.75)


def programs(steps: int, batch: int) -> dict:
    """name: (a function without arguments, forward passes of a step, pullbacks of a step)."""
    model, A = quickstart(), inverse.average_downsampling(SHAPE, 2)
    likelihood, key = inverse.GaussianLikelihood(A, STD), jax.random.key(0)
    y = jax.random.normal(key, (batch, 4, 4, 1))
    t = jnp.full(batch, 0.5)
    x = jax.random.normal(key, (batch, *SHAPE))

    def denoiser(model, told=True):
        condition = {"y": y} if told else None
        return lambda: ss.samplers.ddim(model, key, batch, SHAPE, steps=steps, eta=1.0, condition=condition).x

    def corrected(sampler):
        return lambda: sampler(model, key, batch, SHAPE, likelihood, steps=steps, condition={"y": y}).x

    def particles(twist):
        return lambda: (
            inverse.particles(model, key, 1, SHAPE, twist=twist, condition={"y": y[:1]}, particles=batch, steps=steps).x
        )

    forward = jax.jit(lambda model: model.denoise(x, t))
    pulled = jax.jit(lambda model: jax.vjp(lambda x: model.denoise(x, t), x)[1](x)[0])
    return {
        "unguided, ddim(eta=1)": (denoiser(model, told=False), 1, 0),
        "DiffPIR": (denoiser(inverse.diffpir(model, A, STD)), 1, 0),
        "PiGDM": (denoiser(inverse.pigdm(model, A, STD)), 1, 1),
        "MMPS, 1 iteration": (denoiser(inverse.mmps(model, A, STD, solver=inverse.CG(1))), 1, 2),
        "MMPS, 20 iterations": (denoiser(inverse.mmps(model, A, STD, solver=inverse.CG(20))), 1, 21),
        "replacement": (corrected(inverse.replacement), 1, 0),
        "DPS": (corrected(inverse.dps), 1, 1),
        "particles, Noise": (particles(inverse.Noise(likelihood)), 1, 1),
        "one forward pass a step": (lambda: [forward(model) for _ in range(steps + 1)], 1, 0),
        "one forward pass and pullback": (lambda: [pulled(model) for _ in range(steps + 1)], 1, 1),
    }


def seconds(function) -> float:
    began = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    made = programs(options.steps, options.batch)
    for name, (function, *_) in made.items():
        print(f"{name}: compiled in {seconds(function):.1f} s", flush=True)
    times = {name: [] for name in made}
    for _ in range(options.rounds):
        for name, (function, *_) in made.items():
            times[name].append(seconds(function))
    unguided = np.asarray(next(iter(times.values())))
    print(
        "| sampler | forward passes a step | pullbacks a step | times the unguided one | range |\n|---|---|---|---|---|"
    )
    for name, (_, forwards, pullbacks) in made.items():
        ratios = np.asarray(times[name]) / unguided
        middle = statistics.median(ratios)
        print(f"| {name} | {forwards} | {pullbacks} | {middle:.2f} | {ratios.min():.2f} to {ratios.max():.2f} |")
    print(f"unguided: {statistics.median(unguided):.3f} s for {options.steps} steps, batch {options.batch}")


if __name__ == "__main__":
    main()
