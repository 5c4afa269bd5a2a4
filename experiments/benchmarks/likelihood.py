"""The likelihood on the device against a host-side loop: time, evaluations, error.

    python experiments/benchmarks/likelihood.py                  VE and VP, about 25 minutes on 2 CPU cores
    python experiments/benchmarks/likelihood.py --sdes VP --images 2 --rounds 1

The network is NCSN++ for CIFAR-10 with fewer channels, trained for a minute on coloured, enlarged digits so that its
flow goes somewhere. The baseline is what one writes with scipy: RK45 in t over the whole batch as one vector, around
the same jitted network, score and vector-Jacobian product fused, its parameters compiled in, so that a call costs
nothing but the evaluation. Both have the same probes; errors are those of log p/D against this library's own flow in
float64 with another solver (Dopri8) at 1e-9. Runs take turns.
"""

import argparse
import functools
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


def make_fused(model, probe):
    """Velocity and its divergence along the probe, from one evaluation and one pullback."""

    def fused(x, t):
        velocity, pullback = jax.vjp(lambda x: model.velocity(x, t), x)
        return velocity, jnp.sum(probe * pullback(probe)[0], axis=(1, 2, 3))

    return fused


def make_baseline(model, probe):
    """RK45 of scipy on the host: one step size, x and log p of the whole batch in one vector of float64."""
    fused = jax.jit(make_fused(model, probe))

    def run(x, tolerance: float) -> tuple[np.ndarray, int]:
        n, size = len(x), x.size

        def field(t, state):
            here = jnp.asarray(state[:size].reshape(x.shape), jnp.float32)
            velocity, divergence = fused(here, jnp.float32(t))
            return np.concatenate([np.asarray(velocity, np.float64).ravel(), np.asarray(divergence, np.float64)])

        start = np.concatenate([np.asarray(x, np.float64).ravel(), np.zeros(n)])
        span = (model.sde.t_min, model.sde.t_max)
        with jax.default_matmul_precision("highest"):
            solution = solve_ivp(field, span, start, method="RK45", rtol=tolerance, atol=tolerance)
        end = solution.y[:, -1]
        latent = jnp.asarray(end[:size].reshape(x.shape), jnp.float32)
        return np.asarray(model.sde.prior_log_prob(latent)) + end[size:], solution.nfev

    return run


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


def loop_cost(model, x, probe, rounds: int) -> None:
    """Score and pullback inside a compiled loop against the same outside, in turn."""
    fused = make_fused(model, probe)
    outside = jax.jit(fused)

    @jax.jit
    def loop(x):
        def body(_, x):
            velocity, divergence = fused(x, jnp.float32(0.5))
            return x + 1e-6 * velocity + 1e-9 * divergence.mean()

        return jax.lax.fori_loop(0, 8, body, x)

    t = jnp.float32(0.5)
    with jax.default_matmul_precision("highest"):
        seconds(loop, x), seconds(outside, x, t)
        pairs = [
            (seconds(loop, x) / 8, np.median([seconds(outside, x, t) for _ in range(8)])) for _ in range(rounds + 2)
        ]
    ratio = np.median([inner / outer for inner, outer in pairs])
    inner, outer = np.median(pairs, axis=0)
    print(f"  score + VJP: outside {1e3 * outer:.0f} ms, inside a loop {1e3 * inner:.0f} ms, ratio {ratio:.2f}")


def table(rows: list[dict]) -> None:
    """The rows, each against the first; and what is quickest at no more than the error of each of the baseline's."""
    print("  | run | evaluations a sample | batch calls | error, nats/dim, mean and max | s | times faster |")
    print("  |---|---|---|---|---|---|")
    for row in rows:
        ratio = np.median(np.divide(rows[0]["took"], row["took"]))
        print(
            f"  | {row['name']} | {row['each']:.0f} | {row['calls']} | {row['error'].mean():.1e}, "
            f"{row['error'].max():.1e} | {np.median(row['took']):.2f} | {ratio:.2f} |",
            flush=True,
        )
    for base in (row for row in rows if row["scipy"]):
        rivals = [row for row in rows if not row["scipy"] and row["error"].mean() <= base["error"].mean()]
        if rivals:
            best = min(rivals, key=lambda row: np.median(row["took"]))
            ratio = np.median(np.divide(base["took"], best["took"]))
            print(f"  at the error of {base['name']}: {best['name']} is {ratio:.2f} times faster", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sdes", nargs="+", default=["VE", "VP"], choices=list(SDES))
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tolerances", type=float, nargs="+", default=[1e-5, 1e-4, 1e-3])
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
        baseline = make_baseline(model, probe)

        def ours(steps, tolerance, model=model, x=x, probe=probe):
            return ss.log_likelihood(
                model, x, jax.random.key(0), probes=probe[None], steps=steps, rtol=tolerance, atol=tolerance
            )

        runs = {}
        for tolerance in arguments.tolerances:
            runs[f"scipy RK45, {tolerance:.0e}"] = functools.partial(baseline, x, tolerance)
        for steps in ("each", "joint"):
            for tolerance in arguments.tolerances:
                runs[f"ours, {steps}, {tolerance:.0e}"] = functools.partial(ours, steps, tolerance)
        rows = []
        for key, run in runs.items():  # compiles
            result, scipy = run(), key.startswith("scipy")
            log_prob, calls = result if scipy else (np.asarray(result.log_prob), int(result.calls))
            each = calls if scipy else float(np.mean(result.nfe))
            error = np.abs(log_prob - exact) / x[0].size
            rows.append({"name": key, "scipy": scipy, "calls": calls, "each": each, "error": error, "took": []})
        for _ in range(arguments.rounds):
            for row in rows:
                row["took"].append(seconds(runs[row["name"]]))
        table(rows)
        loop_cost(model, x, probe, arguments.rounds)


if __name__ == "__main__":
    main()
