"""Every few-step loss on two problems in the plane, where the true flow map is known.

    python experiments/few_steps/plane.py                    # 10 to 20 minutes on one core; what is there is not repeated
    python experiments/few_steps/plane.py --only=lagrangian

three  three Gaussians, 3,000 steps;  ring  eight of them on a circle, 6,000 steps. Flow matching, an MLP of 4 layers of 96,
batches of 384, Adam; three seeds. A teacher, where a loss takes one, is the exact denoiser. Sliced W1 is to fresh data, over
the data's deviation; the paired distance is the rms over samples of X(z) − X_true(z), over the same. Writes plane.json and
plane.md.
"""

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import score_sde as ss
from score_sde.denoiser import angle_level
from score_sde.losses import LogitNormal, few_step
from score_sde.parameters import split
from score_sde.randomness import example_keys

HERE = Path(__file__).parent
RESULTS, STEPS, SEEDS, N, BATCH = HERE / "plane.json", (1, 2, 4), (0, 1, 2), 8192, 384
SDE = ss.FlowMatching()
TIMES = LogitNormal(-0.4, 1.0)
PLAIN = few_step.mean_squares


@dataclasses.dataclass(frozen=True)
class Problem:
    """A mixture, and how long to train."""

    means: np.ndarray
    std: float
    steps: int

    @property
    def law(self) -> ss.analytic.GaussianMixture:
        k = len(self.means)
        return ss.analytic.GaussianMixture(jnp.asarray(self.means), jnp.full(k, self.std), jnp.full(k, 1 / k))


TURN = 2 * np.pi * np.arange(8) / 8
PROBLEMS = {
    "three": Problem(np.array([[-1.0, -0.6], [1.0, -0.6], [0.0, 1.1]]), 0.25, 3000),
    "ring": Problem(1.5 * np.stack([np.cos(TURN), np.sin(TURN)], axis=1), 0.1, 6000),
}
PAIRS = few_step.Sorted(TIMES, equal=0.25)
LOSSES: dict[str, tuple[Callable[..., Any], bool]] = {  # (loss, whether it takes the teacher)
    "denoising (Euler)": (functools.partial(few_step.diagonal, pairs=few_step.Sorted(TIMES, equal=1.0)), False),
    "Lagrangian": (functools.partial(few_step.lagrangian, pairs=few_step.Sorted(equal=0.25)), True),
    "Eulerian": (functools.partial(few_step.eulerian, pairs=PAIRS), True),
    "mean flow, p = 0": (functools.partial(few_step.mean_flow, pairs=PAIRS, distance=PLAIN), False),
    "mean flow, p = 1": (few_step.mean_flow, False),
    "improved mean flow": (functools.partial(few_step.improved_mean_flow, pairs=PAIRS, distance=PLAIN), False),
    "shortcut": (functools.partial(few_step.shortcut, pairs=few_step.Sorted(equal=0.5)), False),
    "progressive, 32": (functools.partial(few_step.progressive, first=32), False),
    "consistency distillation, 20": (functools.partial(few_step.consistency, points=21), True),
    "consistency training, 20": (functools.partial(few_step.consistency, points=21), False),
    "continuous, distilled": (functools.partial(few_step.continuous_consistency, c=0.0, warmup=500), True),
    "continuous, from data": (functools.partial(few_step.continuous_consistency, c=0.0, warmup=500), False),
}
TO_DATA = ("consistency", "continuous")


def trained(name: str, problem: Problem, seed: int) -> tuple[Any, float]:
    """The average of the map, and the seconds after compiling."""
    loss, taught = LOSSES[name]
    network = ss.networks.MLP(
        2, width=96, depth=4, embedding_type="fourier_raw", fourier_scale=0.5, second_level=True, rngs=nnx.Rngs(seed)
    )
    model = ss.flow_map.NetworkFlowMap(SDE, network, predicts="velocity", noise_level=angle_level)
    parameters, constants, structure = split(model)
    law, steps = problem.law, problem.steps
    denoiser = law.denoiser(SDE)
    rate = optax.cosine_decay_schedule(2e-3, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    options = {"teacher": denoiser} if taught else {}
    rounds = steps // 6
    if name.startswith("progressive"):
        options["every"] = rounds
    key = jax.random.key(seed)

    def step(state, k):
        parameters, average, target, moments = state
        x0 = law.sample(jax.random.fold_in(key, k), BATCH)
        keys = example_keys(jax.random.fold_in(key, 1 << 20), k, jnp.arange(BATCH))
        late: dict[str, Any] = dict(options)
        if name.startswith(("progressive", "continuous")):
            late["step"] = k
        if name.startswith("progressive"):
            late["target"] = structure.build(target, constants)

        def mean(parameters):
            return jnp.mean(loss(structure.build(parameters, constants), x0, keys, **late))

        updates, moments = optimizer.update(jax.grad(mean)(parameters), moments, parameters)
        parameters = optax.apply_updates(parameters, updates)
        decay = jnp.minimum(0.995, (1 + k) / (10 + k))
        average = jax.tree.map(lambda a, p: a + (1 - decay) * (p - a), average, parameters)
        done = (k + 1) % rounds == 0
        target = jax.tree.map(lambda a, p: jnp.where(done, p, a), target, parameters)
        return (parameters, average, target, moments), None

    @functools.partial(jax.jit, donate_argnums=0)
    def some(state, first):
        return jax.lax.scan(step, state, first + jnp.arange(500))[0]

    if name.startswith("progressive"):  # begins as the denoiser that it takes for its teacher
        begun, _ = trained("denoising (Euler)", problem, seed)
        parameters, _, _ = split(begun)
    copies = [jax.tree.map(jnp.copy, parameters) for _ in range(3)]
    state = (*copies, optimizer.init(parameters))
    compiled = some.lower(state, jnp.asarray(0)).compile()
    began = time.perf_counter()
    for first in range(0, steps, 500):
        state = compiled(state, jnp.asarray(first))
    jax.block_until_ready(state)
    return structure.build(state[1], constants), time.perf_counter() - began


def judged(name: str, problem: Problem, model: Any) -> dict[str, Any]:
    """Sliced W1 and the paired distance at 1, 2 and 4 steps."""
    law, key, found = problem.law, jax.random.key(77), {}
    data = law.sample(jax.random.key(78), N)
    deviation = float(jnp.sqrt(jnp.mean(jnp.var(data, axis=0))))
    z = SDE.sigma(SDE.t_max_sampling) * jax.random.normal(jax.random.key(79), (N, 2))
    exact = ss.flow_map.integrated(law.denoiser(SDE))
    true = jax.jit(lambda z: exact(z, SDE.t_max_sampling, SDE.t_min))(z)
    consistent = name.startswith(TO_DATA)
    for steps in STEPS:
        out = ss.samplers.few_step(model, key, N, (2,), steps=steps, gamma=float(consistent), x_init=z)
        found[str(steps)] = round(sliced_w1(out.x, data) / deviation, 4)
    out = ss.samplers.few_step(model, key, N, (2,), steps=1, x_init=z)
    found["paired, 1"] = round(float(jnp.sqrt(jnp.mean((out.x - true) ** 2))) / deviation, 4)
    return found


def sliced_w1(one, other, directions: int = 64) -> float:
    """The mean over even directions of the distance of sorted projections."""
    angle = np.pi * np.arange(directions) / directions
    v = jnp.asarray(np.stack([np.cos(angle), np.sin(angle)]))
    return float(jnp.mean(jnp.abs(jnp.sort(one @ v, axis=0) - jnp.sort(other @ v, axis=0))))


def write(results: dict[str, Any]) -> None:
    """Mean and spread over seeds."""
    lines = [
        "Sliced W1 over the data's deviation at 1, 2 and 4 steps; paired: rms distance to the true map at one step.",
        "",
    ]
    for problem, of_losses in results.items():
        lines += [f"## {problem}", "", "| loss | 1 | 2 | 4 | paired, 1 | seconds |", "|---|---|---|---|---|---|"]
        for name, of_seeds in of_losses.items():
            cells = []
            for column in (*map(str, STEPS), "paired, 1"):
                values = np.array([row[column] for row in of_seeds.values()])
                cells.append(f"{values.mean():.3f} ± {values.std(ddof=1) if len(values) > 1 else 0:.3f}")
            seconds = np.mean([row["seconds"] for row in of_seeds.values()])
            lines.append(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |")
        lines.append("")
    (HERE / "plane.md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the beginning of a loss's name")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    options = parser.parse_args()
    for seed in SEEDS[: options.seeds]:
        for title, problem in PROBLEMS.items():
            for name in LOSSES:
                results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
                known = results.setdefault(title, {}).setdefault(name, {})
                if str(seed) in known or not name.lower().startswith(options.only.lower()):
                    continue
                model, seconds = trained(name, problem, seed)
                known[str(seed)] = {**judged(name, problem, model), "seconds": round(seconds, 1)}
                print(title, name, seed, known[str(seed)], flush=True)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                write(results)


if __name__ == "__main__":
    main()
