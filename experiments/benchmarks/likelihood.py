"""The likelihood on the device against a host-side loop: time, evaluations, error.

    python experiments/benchmarks/likelihood.py                  VE and VP, about 15 minutes on 2 CPU cores
    python experiments/benchmarks/likelihood.py --sdes VP --images 4 --rounds 1

The network is NCSN++ for CIFAR-10 with fewer channels, trained for a minute on coloured, enlarged digits so that its
flow goes somewhere. The baseline is what one writes with scipy: RK45 in t over the whole batch as one vector, around
the same jitted network, score and vector-Jacobian product fused. Both have the same probes; errors are those of
log p/D against this library's own flow in float64 at 1e-9. Runs take turns.
"""

import argparse
import time

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from scipy.integrate import solve_ivp

import score_sde as ss

SHAPE = (32, 32, 3)
SDES = {"VE": ss.VE(), "VP": ss.VP()}


def network(dtype=jnp.float32) -> nnx.Module:
    return ss.networks.NCSNpp(
        32, nf=16, num_res_blocks=2, data_in_unit_range=True, dropout=0.0, dtype=dtype, rngs=nnx.Rngs(0),
        fourier_scale=1.0,  # with the paper's 16 a network that was trained for a minute still oscillates in time
    )  # fmt: skip


def build(sde: ss.SDE, net: nnx.Module) -> ss.NetworkDenoiser:
    """NCSN++ takes the logarithm of what it is told: σ/α, which is σ for VE, as in the paper."""
    return ss.NetworkDenoiser(sde, net, predicts="edm", noise_level=lambda sde, t: jnp.exp(-sde.log_snr(t) / 2))


def images(key, n: int) -> jnp.ndarray:
    """Enlarged digits in a random colour, dequantised, in [0, 1]."""
    source = ss.data.open_source("digits")
    k = jax.random.split(key, 3)
    chosen = jnp.asarray(source.take(np.asarray(jax.random.randint(k[0], (n,), 0, len(source))))["data"]) / 16.0
    grey = jax.image.resize(chosen.reshape(n, 8, 8, 1), (n, 32, 32, 1), "bilinear")
    colour = jax.random.uniform(k[1], (n, 1, 1, 3))
    return (jnp.floor(255 * grey * colour) + jax.random.uniform(k[2], (n, *SHAPE))) / 256


def train(sde: ss.SDE, steps: int) -> ss.NetworkDenoiser:
    model = build(sde, network())
    optimiser = optax.adam(1e-3)
    state = optimiser.init(model)

    @jax.jit
    def step(model, state, x, keys):
        times = ss.losses.Stratified(ss.losses.LogSNRUniform())
        loss = lambda m: ss.losses.denoising(m, x, keys, weighting=ss.losses.likelihood, times=times).mean()  # noqa: E731
        value, gradient = jax.value_and_grad(loss)(model)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(model, updates), state, value

    for k in range(steps):
        key = jax.random.key(k)
        model, state, value = step(model, state, images(key, 16), jax.random.split(key, 16))
    print(f"  trained {steps} steps, loss {value:.3f}", flush=True)
    return model


def make_baseline(model):
    """RK45 of scipy on the host: one step size, x and log p of the whole batch in one vector of float64."""

    @jax.jit
    def fused(model, x, t, probe):
        velocity, pullback = jax.vjp(lambda x: model.velocity(x, t), x)
        return velocity, jnp.sum(probe * pullback(probe)[0], axis=(1, 2, 3))

    def run(x, probe, tolerance: float) -> tuple[np.ndarray, int]:
        n, size = len(x), x.size

        def field(t, state):
            here = jnp.asarray(state[:size].reshape(x.shape), jnp.float32)
            with jax.default_matmul_precision("highest"):
                velocity, divergence = fused(model, here, jnp.float32(t), probe)
            return np.concatenate([np.asarray(velocity, np.float64).ravel(), np.asarray(divergence, np.float64)])

        start = np.concatenate([np.asarray(x, np.float64).ravel(), np.zeros(n)])
        span = (model.sde.t_min, model.sde.t_max)
        solution = solve_ivp(field, span, start, method="RK45", rtol=tolerance, atol=tolerance)
        end = solution.y[:, -1]
        latent = jnp.asarray(end[:size].reshape(x.shape), jnp.float32)
        return np.asarray(model.sde.prior_log_prob(latent)) + end[size:], solution.nfev

    return run, fused


def reference(model, x, probe) -> np.ndarray:
    """The same network in float64, Dopri8 at 1e-9."""
    values = [np.asarray(leaf) for leaf in jax.tree.leaves(model)]
    with jax.enable_x64(True):
        double = build(model.sde, network(jnp.float64))
        double = jax.tree.unflatten(jax.tree.structure(double), [jnp.asarray(v, jnp.float64) for v in values])
        ll = ss.log_likelihood(
            double, np.asarray(x, np.float64), jax.random.key(0), probes=np.asarray(probe, np.float64)[None],
            rtol=1e-9, atol=1e-9, solver=diffrax.Dopri8(), max_steps=4096,
        )  # fmt: skip
        return np.asarray(ll.log_prob)


def seconds(function, *arguments) -> float:
    began = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began


def loop_cost(model, fused, x, probe, rounds: int) -> None:
    """Score and pullback inside a compiled loop against the same outside, in turn."""

    @jax.jit
    def loop(model, x, probe):
        def body(_, x):
            velocity, divergence = fused(model, x, jnp.float32(0.5), probe)
            return x + 1e-6 * velocity + 1e-9 * divergence.mean()

        return jax.lax.fori_loop(0, 8, body, x)

    seconds(loop, model, x, probe)
    inside, outside = [], []
    for _ in range(rounds):
        inside.append(seconds(loop, model, x, probe) / 8)
        outside.append(sum(seconds(fused, model, x, jnp.float32(0.5), probe) for _ in range(8)) / 8)
    ratio = np.median(np.divide(inside, outside))
    print(
        f"  score + VJP: outside {np.median(outside):.3f} s, inside a loop {np.median(inside):.3f} s, ratio {ratio:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sdes", nargs="+", default=["VE", "VP"], choices=list(SDES))
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tolerances", type=float, nargs="+", default=[1e-5, 1e-4])
    arguments = parser.parse_args()
    for name in arguments.sdes:
        sde = SDES[name]
        print(f"{name}, {arguments.images} images, {jax.devices()[0].device_kind}", flush=True)
        model = train(sde, arguments.steps)
        x = images(jax.random.key(999), arguments.images)
        probe = jax.random.rademacher(jax.random.key(5), x.shape, jnp.float32)
        began = time.perf_counter()
        exact = reference(model, x, probe)
        print(f"  reference: {time.perf_counter() - began:.0f} s", flush=True)
        baseline, fused = make_baseline(model)
        runs = {"scipy RK45 in t, joint, 1e-05": lambda: baseline(x, probe, 1e-5)}  # noqa: B023
        for steps in ("each", "joint"):
            for tolerance in arguments.tolerances:

                def ours(steps=steps, tolerance=tolerance, model=model, x=x, probe=probe):
                    tolerances = {"rtol": tolerance, "atol": tolerance}
                    return ss.log_likelihood(model, x, jax.random.key(0), probes=probe[None], steps=steps, **tolerances)

                runs[f"ours in φ, {steps}, {tolerance:.0e}"] = ours
        first = {key: run() for key, run in runs.items()}  # compiles
        took = {key: [] for key in runs}
        for _ in range(arguments.rounds):
            for key, run in runs.items():
                began = time.perf_counter()
                jax.block_until_ready(run())
                took[key].append(time.perf_counter() - began)
        base = None
        print("  | run | evaluations a sample | batch calls | error, nats/dim, mean and max | s | times faster |")
        print("  |---|---|---|---|---|---|")
        for key, result in first.items():
            scipy = isinstance(result, tuple)
            log_prob, calls = result if scipy else (np.asarray(result.log_prob), int(result.calls))
            each = calls if scipy else float(np.mean(result.nfe))
            error = np.abs(log_prob - exact) / x[0].size
            base = took[key] if base is None else base
            ratio = np.median(np.divide(base, took[key]))
            print(
                f"  | {key} | {each:.0f} | {calls} | {error.mean():.1e}, {error.max():.1e} | "
                f"{np.median(took[key]):.1f} | {ratio:.2f} |",
                flush=True,
            )
        loop_cost(model, fused, x, probe, arguments.rounds)


if __name__ == "__main__":
    main()
