"""How fast ADM's network for ImageNet at 64 x 64 is: compile, forward, training step, beside the same in PyTorch.

    python experiments/benchmarks/adm.py [--nf 192] [--batch 2] [--repeats 5] [--torch] [--out adm.json]

The options are those of configs/adm/imagenet64.py; its nf is 192 (296 M parameters; both programs need about 9 GB).
A step is the squared error of the noise with dropout, its gradient, Adam and EMA.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from networks import against_torch, answer, awake, measure

from score_sde.networks import ADM, describe

CLASSES, SIZE = 1000, 64


def subject(batch: int, nf: int) -> tuple[ADM, jax.Array, jax.Array, jax.Array]:
    """The network, a batch, its levels of the chain, its labels."""
    network = ADM(
        SIZE,
        3,
        nf=nf,
        ch_mult=(1, 2, 3, 4),
        num_res_blocks=3,
        dropout=0.1,
        out_channels=6,
        num_classes=CLASSES,
        no_class=False,
        rngs=nnx.Rngs(0),
    )
    x = jax.random.normal(jax.random.key(0), (batch, SIZE, SIZE, 3))
    return awake(network, 0.01), x, jnp.linspace(0.0, 999.0, batch), jnp.arange(batch) % CLASSES


def programs(batch: int, nf: int) -> dict[str, tuple]:
    """The functions to time, with their arguments."""
    network, x, t, label = subject(batch, nf)
    print(describe(network, (SIZE, SIZE, 3)), flush=True)
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    keys = jax.random.split(jax.random.key(0), batch)
    optimizer = optax.adam(1e-4)

    def forward(params, x, keys=None):
        return nnx.merge(graph, params, rest)(x, t, {"label": label}, dropout_keys=keys)

    def loss(params, x, keys):
        noise = jax.random.normal(keys[0], x.shape)
        return jnp.mean((forward(params, x + noise, keys)[..., :3] - noise) ** 2)

    def step(state, x, keys):
        params, moments, ema, _ = state
        value, gradient = jax.value_and_grad(loss)(params, x, keys)
        updates, moments = optimizer.update(gradient, moments)
        params = optax.apply_updates(params, updates)
        return params, moments, jax.tree.map(lambda e, p: e + 1e-4 * (p - e), ema, params), value

    state = (params, optimizer.init(params), params, jnp.zeros(()))
    return {"forward": (forward, (params, x)), "step": (step, (state, x, keys))}


def serve_torch(connection: Any, batch: int, nf: int) -> None:
    """The other process."""
    import adm_torch
    import torch

    network, x, t, label = subject(batch, nf)
    ours = np.asarray(jax.jit(lambda network: network(x, t, {"label": label}))(network))
    theirs, image = adm_torch.Network(network), adm_torch.image(x)
    del network
    t, label = torch.from_numpy(np.array(t)), torch.from_numpy(np.array(label)).long()
    parameters = list(theirs.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0)
    averages = [p.detach().clone() for p in parameters]

    def forward():
        theirs.eval()
        with torch.no_grad():
            return theirs(image, t, label).permute(0, 2, 3, 1)

    def step():
        theirs.train()
        noise = torch.randn_like(image)
        loss = torch.mean((theirs(image + noise, t, label)[:, :3] - noise) ** 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for average, p in zip(averages, parameters, strict=True):
                average.mul_(0.9999).add_(p, alpha=1e-4)

    answer(connection, {"forward": forward, "step": step}, ours)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    parser.add_argument("--nf", type=int, default=192)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--torch", action="store_true", help="time the same network in PyTorch too")
    options = parser.parse_args()
    device = jax.devices()[0]
    results: dict[str, Any] = {
        "device": f"{device.platform} {device.device_kind}",
        "jax": jax.__version__,
        "nf": options.nf,
        "batch": options.batch,
        "programs": {},
    }
    compiled = {}
    for name, (function, arguments) in programs(options.batch, options.nf).items():
        row, compiled[name] = measure(function, arguments, 1, options.repeats, in_place=name == "step")
        results["programs"][name] = row
        print(f"{name:<10}" + "  ".join(f"{key} {value:.2f}" for key, value in row.items()), flush=True)
    if options.torch:
        print("\nPyTorch, the same network, in turn with ours: seconds, and its time over ours", flush=True)
        results["torch"] = against_torch(compiled, serve_torch, (options.batch, options.nf), options.repeats)
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
