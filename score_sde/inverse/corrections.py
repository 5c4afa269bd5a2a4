"""Methods that correct each step of a sampler instead of the denoiser: DPS, replacement, RePaint.

A sampler's step from t to s gives x_s and x̂(x_t). A correction then moves x_s:

    DPS           x_s − ζ ∇_{x_t} ‖y − A(x̂(x_t))‖                              (Chung et al. 2023, algorithm 1)
    Replacement   x_s + A⁺ (α_s y + σ_s ε − A x_s): measured directions get the noised measurement
                                                                              (Song et al. 2021, appendix I.2)

``Corrected`` is a sampler's method with a correction; the derivative is that of the step's own evaluation, so a step costs
one forward pass and at most one pullback.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Unpack, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample, per_sample, require, sum_over_sample
from score_sde.conditions import Condition
from score_sde.denoiser import Cost, Denoiser, Wrapper
from score_sde.inverse.likelihood import GaussianLikelihood, told
from score_sde.samplers.ddim import DDIM
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.options import Options
from score_sde.samplers.samples import Samples
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class Measured(Wrapper):
    """A model and a likelihood, for ``Corrected``. As a denoiser it is the model, which does not see y."""

    likelihood: GaussianLikelihood
    pulls: bool = dataclasses.field(metadata={"static": True})

    @property
    def cost(self) -> Cost:
        return self.model.cost + Cost(0, int(self.pulls))

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self.model.predict(x, t, told(condition, "a correction")[1])

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        return self.model.on_chain(x, t, told(condition, "a correction")[1])


@runtime_checkable
class Correction(Protocol):
    """(the likelihood, x_s, x̂ and its pullback, y, the row with t and s, the SDE, noise) -> x_s."""

    @property
    def pulls(self) -> bool:
        """Whether it uses the pullback through x̂(x_t)."""
        ...

    @property
    def draws(self) -> int:
        """The number of standard normal draws of a step."""
        ...

    def __call__(
        self,
        likelihood: GaussianLikelihood,
        x_s: Sample,
        x0: Sample,
        pullback: Callable[[Sample], Sample],
        y: Array,
        sde: SDE,
        row: dict,
        noise: Array,
    ) -> Sample: ...  # numpydoc ignore=GL08


@dataclasses.dataclass(frozen=True)
class DPS:
    """x_s − ζ ∇_{x_t} ‖y − A(x̂)‖, the norm of each sample. Its scale ζ depends on the number of steps."""

    zeta: float = 0.3
    pulls = True
    draws = 0

    def __call__(self, likelihood, x_s, x0, pullback, y, sde, row, noise):
        def distance(x0: Sample) -> Float[Array, ""]:
            squared = sum_over_sample(likelihood.residual(y, x0) ** 2)
            positive = squared > 0
            return jnp.sum(jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0))

        return x_s - self.zeta * pullback(jax.grad(distance)(x0))


@dataclasses.dataclass(frozen=True)
class Replacement:
    """Measured directions of x_s get the measurement with the noise of time s."""

    pulls = False
    draws = 1

    def __call__(self, likelihood, x_s, x0, pullback, y, sde, row, noise):
        A, s = likelihood.A, row["s"]
        alpha, sigma = sde.alpha(s).astype(y.dtype), sde.sigma(s).astype(y.dtype)
        wanted = alpha * y + sigma * A(noise[0])
        return x_s + A.pinv(wanted - A(x_s))


@dataclasses.dataclass(frozen=True)
class Corrected(Method):
    """A method with a correction after each of its steps. The method must compute x̂(x_t) anyway.

    ``jumps``: every step is taken so often, with fresh noise from s back to t in between (Lugmayr et al. 2022).
    """

    inner: Method
    correction: Any
    jumps: int = 1

    def default_grid(self, sde: SDE, steps: int):
        return self.inner.default_grid(sde, steps)

    @property
    def draws(self) -> int:
        return self.inner.draws + self.correction.draws + (self.jumps > 1)

    def plan(self, sde, times):
        rows = self.inner.plan(sde, times)
        steps = len(rows["t"])
        rows = {name: jnp.repeat(value, self.jumps, axis=0) for name, value in rows.items()}
        again = jnp.arange(steps * self.jumps) % self.jumps < self.jumps - 1
        ratio, variance = sde.transition(rows["t"], rows["s"])
        return rows | {
            "step": jnp.repeat(jnp.arange(steps), self.jumps),
            "ratio": jnp.where(again, ratio, 1.0),
            "back": jnp.where(again, jnp.sqrt(variance), 0.0),
        }

    def begin(self, x):
        return self.inner.begin(x)

    def step(self, model, x, row, noise, memory, condition):
        y, rest = told(condition, "a correction")
        own = self.inner.draws

        def run(x: Sample) -> tuple[Sample, Step]:
            taken = self.inner.step(model.model, x, row, noise[:own], memory, rest)
            return taken.x0, taken

        if self.correction.pulls:
            x0, pullback, taken = jax.vjp(run, x, has_aux=True)
        else:
            (x0, taken), pullback = run(x), _none

        def correct(x_s: Sample) -> Sample:
            pulled = lambda v: pullback(v)[0]  # noqa: E731
            return self.correction(model.likelihood, x_s, x0, pulled, y, model.sde, row, noise[own:])

        x_s, mean = correct(taken.x), correct(taken.mean)
        if self.jumps > 1:
            x_s = per_sample(row["ratio"], x) * x_s + per_sample(row["back"], x) * noise[-1]
        return Step(x_s, mean, x0, taken.memory)


def _none(v: Sample) -> tuple[Sample]:
    """The pullback of a correction that does not use it."""
    raise TypeError("this correction has pulls = False")


def dps(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    likelihood: GaussianLikelihood,
    *,
    steps: int = 1000,
    zeta: float = 0.3,
    eta: float = 1.0,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples of x_0 given condition["y"] with DPS on top of DDIM (``eta`` = 1: ancestral, as in the paper).

    Its bias has no bound: ζ balances a step's change against the measurement, and the best ζ depends on the task and on
    the number of steps. See experiments/inverse for what that costs.
    """
    require(zeta > 0, f"zeta = {zeta}; it must be positive")
    return _corrected(model, key, n, shape, likelihood, DPS(zeta), steps, eta, 1, options)


def replacement(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    likelihood: GaussianLikelihood,
    *,
    steps: int = 1000,
    eta: float = 1.0,
    resamplings: int = 1,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples of x_0 given condition["y"] by replacing what is measured, as the original's inpainter does.

    ``resamplings`` above 1 is RePaint: every step is repeated, which lets the rest adapt to what was replaced.
    """
    require(resamplings >= 1, f"resamplings = {resamplings}; allowed: 1 or more")
    return _corrected(model, key, n, shape, likelihood, Replacement(), steps, eta, resamplings, options)


def _corrected(model, key, n, shape, likelihood, correction, steps, eta, jumps, options) -> Samples:
    require(0 <= eta <= 1, f"eta = {eta}; allowed: 0 (deterministic) to 1 (ancestral)")
    measured = Measured(model.sde, model, likelihood, correction.pulls)
    return solve(Corrected(DDIM(float(eta)), correction, jumps), measured, key, n, shape, steps, **options)
