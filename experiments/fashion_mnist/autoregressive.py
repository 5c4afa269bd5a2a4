"""A classical anchor for bits/dim: a gated PixelCNN (van den Oord et al. 2016), told the class, trained for a given time.

    python experiments/fashion_mnist/autoregressive.py --minutes=75 --out=experiments/fashion_mnist/autoregressive.json

p(x | y) = Π_i p(x_i | x_1 … x_{i−1}, y) over pixels in reading order, each a softmax over 256 levels, so that
its bits/dim is exact. Writes the mean over the first test images and the value of each, for differences by pairs.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import score_sde as ss
from score_sde.networks.cpu import conv

LAYERS, WIDTH, HEAD, LEVELS, CLASSES = 8, 32, 128, 256, 10
WARMUP = 0.02
"""The part of the training in which the rate rises; then it falls as half a cosine wave."""


def initial(key: jax.Array) -> dict:
    """Kernels of variance 1/fan-in, biases of zero."""
    shapes = {
        "v_in": (1, 1, 1, WIDTH),
        "h_in": (1, 1, 1, WIDTH),
        "head": (1, 1, WIDTH, HEAD),
        "out": (1, 1, HEAD, LEVELS),
    }
    for i in range(LAYERS):
        shapes |= {f"v_{i}": (2, 3, WIDTH, 2 * WIDTH), f"h_{i}": (1, 2, WIDTH, 2 * WIDTH)}
        shapes |= {f"down_{i}": (1, 1, 2 * WIDTH, 2 * WIDTH), f"h_out_{i}": (1, 1, WIDTH, WIDTH)}
        shapes |= {f"class_v_{i}": (CLASSES, 2 * WIDTH), f"class_h_{i}": (CLASSES, 2 * WIDTH)}
    keys = jax.random.split(key, len(shapes))
    found = {}
    for one, (name, shape) in zip(keys, shapes.items(), strict=True):
        found[name] = jax.random.normal(one, shape) / np.sqrt(np.prod(shape[:-1]))
        if not name.startswith("class"):
            found[f"{name}_bias"] = jnp.zeros(shape[-1])
    return found


def logits(weights: dict, levels: jax.Array, label: jax.Array) -> jax.Array:
    """(n, h, w, 256): those of a pixel depend on the rows above (v) and on the pixels to its left (h)."""

    def layer(name: str, x: jax.Array, pads=((0, 0), (0, 0))) -> jax.Array:
        return conv(x, weights[name], 1, pads) + weights[f"{name}_bias"]

    def told(name: str) -> jax.Array:
        return weights[name][label][:, None, None, :]

    x = levels.astype(jnp.float32) / 127.5 - 1
    v = layer("v_in", jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1])
    h = layer("h_in", jnp.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1])
    for i in range(LAYERS):
        seen = layer(f"v_{i}", v, ((1, 0), (1, 1)))
        beside = layer(f"h_{i}", h, ((0, 0), (1, 0))) + layer(f"down_{i}", seen)
        v = v + gated(seen + told(f"class_v_{i}"))
        h = h + layer(f"h_out_{i}", gated(beside + told(f"class_h_{i}")))
    return layer("out", jax.nn.relu(layer("head", jax.nn.relu(h))))


def gated(x: jax.Array) -> jax.Array:
    """tanh(a) σ(b)."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


def bits(weights: dict, levels: jax.Array, label: jax.Array) -> jax.Array:
    """−log₂ p(x | y)/D of each image."""
    log_p = jax.nn.log_softmax(logits(weights, levels, label))
    each = jnp.take_along_axis(log_p, levels.astype(jnp.int32), axis=-1)
    return -each.mean(axis=(1, 2, 3)) / np.log(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=75.0, help="of training, on the clock")
    parser.add_argument("--images", type=int, default=2000, help="held-out images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "autoregressive.json")
    options = parser.parse_args()
    train, test = (ss.data.open_source("fashion_mnist", split) for split in ("train", "test"))
    weights = initial(jax.random.key(options.seed))
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())
    state, average = optimiser.init(weights), weights

    @jax.jit
    def step(weights, state, average, levels, label, rate, keep):
        loss, gradient = jax.value_and_grad(lambda w: bits(w, levels, label).mean())(weights)
        updates, state = optimiser.update(gradient, state)
        weights = jax.tree.map(lambda w, u: w - rate * u, weights, updates)
        average = jax.tree.map(lambda a, w: keep * a + (1 - keep) * w, average, weights)
        return weights, state, average, loss

    draw, done, losses, began = np.random.default_rng(options.seed), 0, [], time.monotonic()
    while (share := (time.monotonic() - began) / (60 * options.minutes)) < 1:
        index = draw.integers(0, len(train), 64)
        rate = 2e-3 * min(share / WARMUP, 1) * 0.5 * (1 + np.cos(np.pi * share))
        keep = min(0.999, (1 + done) / (10 + done))
        batch = train.data[index], train.labels[index]
        weights, state, average, loss = step(weights, state, average, *batch, rate, keep)
        done += 1
        losses.append(float(loss))
        if done % 100 == 0:
            print(f"step {done}  {np.mean(losses[-100:]):.4f} bits/dim  {100 * share:.0f} %", flush=True)
    of = jax.jit(bits)
    each = np.concatenate(
        [
            np.asarray(of(average, test.data[i : i + 100], test.labels[i : i + 100]))
            for i in range(0, options.images, 100)
        ]
    )
    error = each.std(ddof=1) / np.sqrt(len(each))
    parameters = sum(value.size for value in weights.values())
    about = {"mean": float(each.mean()), "standard_error": float(error), "steps": done, "parameters": parameters}
    about |= {"minutes": options.minutes, "seed": options.seed, "each": [round(float(value), 5) for value in each]}
    options.out.write_text(json.dumps(about) + "\n")
    print(f"{each.mean():.4f} ± {error:.4f} bits/dim of {len(each)} images; {parameters:,} parameters, {done} steps")


if __name__ == "__main__":
    main()
