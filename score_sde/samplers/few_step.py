"""Sampling with a flow map: as many evaluations as jumps."""

import dataclasses
import math
from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, Key

from score_sde.checks import per_sample, require
from score_sde.flow_map import FlowMap
from score_sde.samplers.grids import angle
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.options import Options
from score_sde.samplers.samples import Samples


@dataclasses.dataclass(frozen=True)
class FewStep(Method):
    """x_s = α_s/α_r X(x_t, t, r) + σ_{s|r} z,   σ_r/α_r = √(1 − γ²) σ_s/α_s   (Kim et al. 2024, algorithm 3).

    The noise that is added takes x_r to x_s as the SDE does, so that the true map gives the true law for every γ.
    """

    gamma: float

    def default_grid(self, sde, steps):
        return angle(sde, steps)

    @property
    def draws(self) -> int:
        return int(self.gamma > 0)

    def plan(self, sde, times):
        t, s = times[:-1], times[1:]
        kept = -math.inf if self.gamma == 1 else math.log1p(-(self.gamma**2))
        r = jnp.clip(sde.time_of_log_snr(sde.log_snr(s) - kept), sde.t_min, s) if self.gamma > 0 else s
        ratio, variance = sde.transition(s, r)
        return {"t": t, "s": s, "r": r, "ratio": ratio, "c": jnp.sqrt(jnp.maximum(variance, 0))}

    def step(self, model, x, row, noise, memory, condition):
        x0, eps = model.predict(x, row["t"], row["r"], condition)
        x_r = per_sample(model.sde.alpha(row["r"]), x) * x0 + per_sample(model.sde.sigma(row["r"]), x) * eps
        mean = per_sample(row["ratio"], x) * x_r
        return Step(mean + per_sample(row["c"], x) * noise[0] if self.draws else mean, mean, x0)


def few_step(
    model: FlowMap,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    steps: int = 1,
    gamma: int | float = 0.0,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples in ``steps`` jumps of a flow map along ``grids.angle``, which ends at t_min: one evaluation each.

    ``gamma``: 0 follows the flow; 1 jumps to the data each time and adds the noise again, as multistep consistency
    sampling does, and is what a consistency model needs; between, part of the noise is new.
    """
    require(isinstance(model, FlowMap), f"model is a {type(model).__name__}; few_step needs a flow map (ss.flow_map)")
    require(0 <= gamma <= 1, f"gamma = {gamma}; allowed: 0 (the flow) to 1 (all noise is new)")
    options.setdefault("final", "none")
    require(
        options["final"] != "denoise",
        'final = "denoise" would be one more evaluation, of no use; allowed: "none", "mean"',
    )
    given = options.get("time_grid")
    rows = steps if given is None or callable(given) else len(given) - 1  # type: ignore[arg-type]
    require(
        not model.only_to_data or rows == 1 or gamma == 1,
        f"gamma = {gamma} with {rows} steps asks for X(x, t, s) at s > t_min, but a consistency model leads to the data "
        "alone; give gamma=1, or steps=1",
    )
    return solve(FewStep(float(gamma)), model, key, n, shape, steps, **options)
