"""What the samplers cost beyond the network, and how many evaluations the adaptive ODE needs.

    python experiments/benchmarks/samplers.py            everything (the network part needs some minutes on a CPU)
    python experiments/benchmarks/samplers.py --no-network

1. A DDIM run with the CIFAR-10 NCSN++ (62.8 million parameters, batch 8) against as many forward passes: at most 1.03.
2. Evaluations a sample of ``ode`` (Dopri5, 1e-5) against scipy's RK45 on each sample alone, at equal measured error:
   at most 1.15. ``calls`` is what the batch was evaluated, until its slowest sample was done.
3. Compile time against the number of steps.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import score_sde as ss

MEANS, STDS = np.array([[1.0, 0.5], [-1.0, 0.3], [0.2, -1.2]]), np.array([0.3, 0.2, 0.4])
MIXTURE = ss.analytic.GaussianMixture(MEANS, STDS, np.array([0.3, 0.3, 0.4]))


def seconds(function, *arguments) -> float:
    began = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began


def network_overhead(steps: int, rounds: int) -> None:
    """Runs and as many forward passes take turns, so that a machine that others use slows both."""
    from flax import nnx

    network = ss.networks.NCSNpp(32, scale_by_sigma=True, data_in_unit_range=True, rngs=nnx.Rngs(0))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))
    sde, key = ss.VE(), jax.random.key(0)
    model = ss.NetworkDenoiser(sde, network, predicts="score", noise_level=ss.denoiser.sigma_level)
    forward = jax.jit(lambda model, x, t: model.score(x, t))
    x = sde.prior_sample(key, (8, 32, 32, 3))

    def sample():
        return ss.samplers.ddim(model, key, 8, (32, 32, 3), steps=steps, final="none").x

    compile_forward, compile_run = seconds(forward, model, x, 0.5), seconds(sample)
    blocks, runs = [], []
    for _ in range(rounds):
        blocks.append(sum(seconds(forward, model, x, 0.5) for _ in range(steps)))
        runs.append(seconds(sample))
    ratios = np.divide(runs, blocks)
    print(f"NCSN++ with {parameters / 1e6:.1f} M parameters, batch 8, {jax.devices()[0].device_kind}")
    print(f"  {steps} forward passes {np.round(blocks, 1)} s, a {steps}-step DDIM run {np.round(runs, 1)} s, in turn")
    print(f"  ratio: median {statistics.median(ratios):.3f}, all {np.round(ratios, 3)}")
    print(f"  first call: forward {compile_forward:.0f} s, {steps}-step run {compile_run:.0f} s")


def step_overhead() -> None:
    """Time a step with a model that costs nothing, for 8 images of CIFAR-10's size: an upper bound of the overhead."""
    model = ss.FunctionDenoiser(ss.VP(), lambda x, t, condition: 0.5 * x, predicts="data")
    for name, run in {
        "ddim": lambda n: ss.samplers.ddim(model, jax.random.key(0), 8, (32, 32, 3), steps=n).x,
        "dpm_solver 3": lambda n: ss.samplers.dpm_solver(model, jax.random.key(0), 8, (32, 32, 3), steps=n).x,
        "unipc 3": lambda n: ss.samplers.unipc(model, jax.random.key(0), 8, (32, 32, 3), steps=n).x,
        "heun": lambda n: ss.samplers.heun(model, jax.random.key(0), 8, (32, 32, 3), steps=n).x,
        "pc, reverse diffusion + Langevin": lambda n: (
            ss.samplers.predictor_corrector(
                model, jax.random.key(0), 8, (32, 32, 3), steps=n, corrector=ss.samplers.Langevin()
            ).x
        ),
    }.items():
        first = {n: seconds(run, n) for n in (10, 1000)}
        again = {n: min(seconds(run, n) for _ in range(3)) for n in (10, 1000)}
        each = (again[1000] - again[10]) / 990
        print(
            f"  {name}: {1e6 * each:.0f} µs a step; a call of 10 steps {1e3 * again[10]:.1f} ms; "
            f"compiling 10 steps {first[10] - again[10]:.2f} s, 1000 steps {first[1000] - again[1000]:.2f} s"
        )


def ode_evaluations(n: int = 48) -> None:
    """Scipy's RK45 one sample at a time, its tolerance chosen so that the mean errors are equal (interpolated)."""
    for sde in (ss.VP(), ss.SubVP(), ss.VE()):
        with jax.enable_x64(True):
            model = MIXTURE.denoiser(sde)
            velocity = jax.jit(model.velocity)
            z = np.asarray(sde.prior_sample(jax.random.key(1), (n, 2)))
            span = (sde.t_max_sampling, sde.t_min_sampling)

            def scipy(z, tolerance, method="RK45", span=span, velocity=velocity):
                return solve_ivp(
                    lambda t, x: np.asarray(velocity(x[None], t)[0]), span, z, method=method,
                    rtol=tolerance, atol=tolerance,
                )  # fmt: skip

            exact = np.stack([scipy(row, 1e-11, "DOP853").y[:, -1] for row in z])
            out = ss.samplers.ode(model, jax.random.key(0), n, (2,), x_init=jnp.asarray(z), final="none")
        error = np.abs(np.asarray(out.x) - exact).mean()
        table = []
        for tolerance in (1e-4, 3e-5, 1e-5, 3e-6, 1e-6):
            found = [scipy(row, tolerance) for row in z]
            wrong = np.abs(np.stack([f.y[:, -1] for f in found]) - exact).mean()
            table.append((np.log(wrong), np.mean([f.nfev for f in found])))
        table.sort()
        needed = np.interp(np.log(error), *np.array(table).T)
        nfe = float(np.mean(out.nfe))
        print(
            f"  {type(sde).__name__}: error {error:.1e}, ours {nfe:.1f} evaluations a sample (batch-wide calls "
            f"{int(out.calls)}), scipy {needed:.1f} at the same error: ratio {nfe / needed:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-network", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("Overhead a step with a model that costs nothing, batch 8 of 32x32x3:")
    step_overhead()
    print("Adaptive ODE at rtol = atol = 1e-5 against scipy's RK45:")
    ode_evaluations()
    if not options.no_network:
        network_overhead(options.steps, options.rounds)


if __name__ == "__main__":
    main()
