"""How many bits does a handwritten digit take? A small model against four densities that need no network.

    python experiments/likelihood/digits.py                    about two minutes of training, then the table
    python experiments/likelihood/digits.py --steps=4000      the longer run

The embedded digits (8 x 8, 17 levels), fixed split, y = 2 (x + u)/17 − 1 in training and in evaluation, five
dequantisations of each of the 355 held-out images, one Rademacher probe each. The network is trained with the
library's own loss, likelihood weighting with times even in log-SNR, and averaged.
"""

import argparse
import json
import time
from pathlib import Path

import baselines
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import score_sde as ss
from score_sde.evaluation import BitsPerDim, Subject, evaluate, examples

HERE = Path(__file__).parent
SCALING = ss.data.DataScaling(levels=17, dequantize=True)
SDE = ss.VP(beta_max=12.0, t_min=1e-3)
"""sigma(t_min) = 0.01, a twelfth of a cell's width: p at t_min is a density of its own, so no bound is lost."""


class Phases(nnx.Module):
    """A network that is also shown where in its cell a pixel lies, sin and cos of 2π k y (Kingma et al. 2021, C).

    Dequantised data are flat within a cell and jump at its edge: 17 steps that a small network of y alone draws badly.
    """

    def __init__(self, network: nnx.Module, cell: float):
        self.network = network
        self.cell = cell

    def __call__(self, x, noise_level, condition=None, *, dropout_keys=None):
        angles = [2 * jnp.pi * (x + 1) / (self.cell * width) for width in (1, 2, 4)]
        shown = jnp.concatenate([x, *map(jnp.sin, angles), *map(jnp.cos, angles)], axis=-1)
        return self.network(shown, noise_level, condition, dropout_keys=dropout_keys)[..., :1]


def build(seed: int) -> ss.NetworkDenoiser:
    network = ss.networks.NCSNpp(
        8, 7, nf=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(), embedding_type="fourier_raw",
        fourier_scale=1.0, fir=False, progressive_input="none", dropout=0.1, rngs=nnx.Rngs(seed),
    )  # fmt: skip
    noise_level = ss.denoiser.log_noise_level
    return ss.NetworkDenoiser(SDE, Phases(network, SCALING.cell), predicts="v", noise_level=noise_level)


def train(model, images: np.ndarray, steps: int, seed: int, batch: int = 64, decay: float = 0.999):
    """Adam with a warm-up and a cosine; returns the averaged model. Step k depends on (seed, k) alone."""
    key = jax.random.key(seed)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 2e-3, 200, steps, 2e-5)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    images = jnp.asarray(images)
    parameters, structure = jax.tree.flatten(model)
    learned = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in parameters]
    assert all(learned)

    def loss(parameters, k):
        here = jax.random.fold_in(key, k)
        keys = jax.vmap(lambda i: jax.random.fold_in(here, i))(jnp.arange(batch))
        chosen = jax.random.randint(jax.random.fold_in(here, batch), (batch,), 0, len(images))
        y = SCALING.forward(images[chosen], jax.vmap(lambda k: jax.random.fold_in(k, 9))(keys))
        times = ss.losses.Stratified(ss.losses.LogSNRUniform())
        model = jax.tree.unflatten(structure, parameters)
        return ss.losses.denoising(model, y, keys, weighting=ss.losses.likelihood, times=times).mean()

    @jax.jit
    def advance(carry, first):
        def step(carry, k):
            parameters, averaged, state = carry
            value, gradient = jax.value_and_grad(loss)(parameters, k)
            updates, state = optimiser.update(gradient, state, parameters)
            parameters = optax.apply_updates(parameters, updates)
            rate = jnp.minimum(decay, (1 + k) / (10 + k))
            averaged = jax.tree.map(lambda a, p: rate * a + (1 - rate) * p, averaged, parameters)
            return (parameters, averaged, state), value

        return jax.lax.scan(step, carry, first + jnp.arange(50))

    carry = (parameters, parameters, optimiser.init(parameters))
    began = time.perf_counter()
    for first in range(0, steps, 50):
        carry, values = jax.block_until_ready(advance(carry, first))
        if first == 0:
            began = time.perf_counter()  # compilation is not training
        if first % 500 == 0:
            print(f"  step {first}: loss {values.mean():.4f}, {time.perf_counter() - began:.0f} s", flush=True)
    return jax.tree.unflatten(structure, carry[1]), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/likelihood"))
    arguments = parser.parse_args()
    source, held_out = ss.data.open_source("digits", "train"), ss.data.open_source("digits", "test")
    images, test = (np.asarray(s.take(np.arange(len(s)))["data"]) for s in (source, held_out))

    model = build(arguments.seed)
    count = sum(leaf.size for leaf in jax.tree.leaves(model))
    model, seconds = train(model, images, arguments.steps, arguments.seed)
    file = arguments.out / f"digits_{arguments.steps}.json"
    bits = BitsPerDim(repeats=arguments.repeats, rtol=arguments.tolerance, atol=arguments.tolerance)
    found = evaluate(Subject(model, SCALING), {"bits": bits}, examples(held_out, 119), jax.random.key(1), file)
    result = found["bits"]
    with np.load(file.with_name(f"{file.stem}_bits.npz")) as saved:
        ours = saved["per_dim"].mean(axis=1)
    rows = {
        f"score model, {count / 1e6:.2f} M parameters, {arguments.steps} steps": ours,
        "autoregressive logistic regression": baselines.autoregressive(images, test, 17),
        "independent-pixel histogram": baselines.histogram(images, test, 17),
        "full-covariance Gaussian": baselines.gaussian(images, test, SCALING, arguments.repeats),
        "kernel density estimate": baselines.kernel_density(images, test, SCALING, arguments.repeats),
    }
    print(f"\ntrained {seconds:.0f} s; {result['evaluations']} evaluations; {result['failures']} failures\n")
    print("| density | bits/dim | standard error | more than the score model's, by image |\n|---|---|---|---|")
    table = {}
    for name, bits in rows.items():
        more, error = (bits - ours).mean(), (bits - ours).std(ddof=1) / np.sqrt(len(bits))
        own = bits.std(ddof=1) / np.sqrt(len(bits))
        table[name] = {"bits": bits.mean(), "error": own, "more": more, "more_error": error}
        print(f"| {name} | {bits.mean():.3f} | {own:.3f} | {'' if bits is ours else f'{more:.3f} ± {error:.3f}'} |")
    (arguments.out / f"table_{arguments.steps}.json").write_text(json.dumps(jax.tree.map(float, table), indent=2))


if __name__ == "__main__":
    main()
