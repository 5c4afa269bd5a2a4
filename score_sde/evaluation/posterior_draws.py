"""Restoring images with a posterior method: draws of x_0 given y = A(x_0) + n, and how good they are.

    n ~ N(0, std²) in units of model space; where that runs from −1 to 1, std = 0.1 is 0.05 of the range from 0 to 1.

The squared errors of the mean of D posterior draws and of one draw are 1 + 1/D and 2 times that of the posterior mean.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from score_sde.checkpoints import hash_of
from score_sde.checks import require
from score_sde.evaluation.evaluator import Batch, PerExample, State, Subject
from score_sde.evaluation.restoration import entry, similarity
from score_sde.evaluation.unit_range import ends, in_model_space, in_unit_range
from score_sde.inverse import GaussianLikelihood, Operator, drawn_by, mmps
from score_sde.randomness import keys_of
from score_sde.samplers import Samples, dpm_solver

KEPT = ("original", "measurement", "seen", "draws", "mean", "deviation")
"""The arrays of each image, in model space; ``seen`` is the measurement as an image."""


@dataclasses.dataclass(frozen=True, repr=False)
class PosteriorDraws(PerExample):
    """Measure the ``first`` images, draw each ``draws`` times given its measurement, and compare with the originals.

    method     of ``ss.inverse``: a posterior denoiser, drawn from with ``sampler``, or a sampler of its own
    operator   A
    std        the deviation of the noise

    The model is told the measurement alone: other leaves of its condition, such as a class, have their null value. Draw d of
    image i depends on (key, i, d) alone. The state holds the arrays ``KEPT`` of every image.
    """

    operator: Operator
    std: float
    method: Callable[..., Any] = mmps
    draws: int = 4
    first: int | None = 64
    sampler: Callable[..., Samples] = dpm_solver
    of: ClassVar[Literal["examples", "samples"]] = "examples"

    def __post_init__(self):
        require(self.std >= 0, f"std = {self.std}; allowed: 0 or more, in units of model space")
        require(self.draws >= 1, f"draws = {self.draws}; allowed: 1 or more")

    def __repr__(self) -> str:
        leaves = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(self.operator))}
        shape, measured = self.operator.shape, self.operator.measured
        operator = f"{type(self.operator).__name__}({shape} -> {measured}, {hash_of(leaves)})"
        fields = f"std={self.std}, method={_told(self.method)}, draws={self.draws}, first={self.first}"
        return f"PosteriorDraws({operator}, {fields}, sampler={_told(self.sampler)})"

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Array]:
        x0, index = in_model_space(subject.scaling, jnp.asarray(batch["data"])), jnp.asarray(batch["index"])
        n, likelihood = len(x0), GaussianLikelihood(self.operator, self.std)
        of_noise, of_draws = jax.random.split(key)
        y = self.operator(x0)
        y = y + self.std * jax.vmap(lambda k: jax.random.normal(k, y.shape[1:]))(keys_of(of_noise, index))
        told = {"y": y, **(subject.conditions.make(n) or {})}
        draw, found = drawn_by(self.method, self.sampler), []
        for d in range(self.draws):
            start = index * self.draws + d
            found.append(draw(subject.model, of_draws, n, x0.shape[1:], likelihood, condition=told, start=start))
        x = jnp.stack([out.x for out in found], axis=1)
        failed = jnp.stack([out.failed_at >= 0 for out in found], axis=1)
        mean, deviation = x.mean(axis=1), x.std(axis=1)
        whole = [in_unit_range(subject.scaling, image) for image in (mean, *jnp.moveaxis(x, 1, 0), x0)]
        of_mean, of_draw = similarity(whole[0], whole[-1]), [similarity(one, whole[-1]) for one in whole[1:-1]]
        residuals = [jnp.mean(likelihood.residual(y, one).reshape(n, -1) ** 2, axis=1) for one in jnp.moveaxis(x, 1, 0)]
        return {
            "original": x0,
            "measurement": y,
            "seen": _seen(self.operator, y),
            "draws": x,
            "mean": mean,
            "deviation": deviation,
            "failed": failed,
            "evaluations": jnp.stack([out.nfe for out in found]).mean(axis=0),
            **{f"{name} of the mean": value for name, value in of_mean.items()},
            **{f"{name} of a draw": jnp.mean(jnp.stack([one[name] for one in of_draw]), axis=0) for name in of_mean},
            "squared residual": jnp.mean(jnp.stack(residuals), axis=0),
            "spread": jnp.sqrt(jnp.mean(deviation.reshape(n, -1) ** 2, axis=1)),
        }

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        low, high = ends(subject.scaling)
        shown = {name: state[name] for name in state if " of " in name} | {"spread": state["spread"]}
        squared = state["squared residual"].astype(np.float64)
        shown |= {"residual²/std²": squared / self.std**2} if self.std > 0 else {"squared residual": squared}
        return {
            "metrics": {name: entry(value.astype(np.float64)) for name, value in shown.items()},
            "examples": int(state["n"]),
            "draws": self.draws,
            "failed draws": int(state["failed"].sum()),
            "evaluations": float(state["evaluations"].mean()),
            "noise": {"std in model space": self.std, "std from 0 to 1": self.std / (high - low)},
        }


def _told(function: Callable[..., Any]) -> str:
    """The name of a function, and the arguments that are bound to it."""
    if not isinstance(function, functools.partial):
        return function.__qualname__
    return (
        f"{function.func.__qualname__}({', '.join(f'{name}={value!r}' for name, value in function.keywords.items())})"
    )


def _seen(operator: Operator, y: Array) -> Float[Array, "batch *shape"]:
    """The measurement in the form of x: itself, the least x that fits it, or Aᵀ y; zeros for others."""
    if y.shape[1:] == operator.shape:
        return y
    if operator.structured:
        return operator.pinv(y)
    return operator.adjoint(y) if operator.linear else jnp.zeros((len(y), *operator.shape), y.dtype)
