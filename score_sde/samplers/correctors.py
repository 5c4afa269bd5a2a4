"""Correctors: Langevin steps that move x at time t toward p_t. They return the new x, and x without the noise.

A corrector is a frozen dataclass with ``step(model, x, t, s, noise, condition) -> (x, mean)`` and ``steps``, the number
of these steps at each time of the grid. For a Gaussian, Langevin's fixed step ε inflates the variance V by
1/(1 − ε/(2V)), which is 1/(1 − snr²) for a = 1 and V = σ²; more steps do not remove this bias.
"""

import dataclasses
from typing import Literal, Protocol, runtime_checkable

import jax.numpy as jnp

from score_sde.checks import Sample, per_sample, require, sum_over_sample
from score_sde.denoiser import Condition, Denoiser
from score_sde.samplers.predictors import Time, chain


@runtime_checkable
class Corrector(Protocol):
    """The interface of a corrector for ``predictor_corrector``."""

    @property
    def steps(self) -> int: ...

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]: ...


@dataclasses.dataclass(frozen=True)
class Langevin:
    """x ← x + ε ∇log p + √(2ε) z  (Song et al. 2021, alg. 4-5), with the step size by ``norms``:

    - "noise" (default): ε = 2a (snr σ_t)², a = (α_t/α_s)². At high noise ‖z‖/‖∇log p‖ fluctuates around σ_t; with
      σ_t itself, sample i does not depend on the rest of the batch.
    - "batch": ε = 2a (snr mean‖z‖/mean‖∇log p‖)², the paper's rule with means over the batch, and a of the discrete
      chain (1 − β for VP). A sample depends on the batch that it is in.
    - "sample": the same with the norms of each sample alone. It diverges where a score is near zero: in two dimensions
      the sampling error was 60 times larger.
    """

    snr: int | float = 0.16
    steps: int = 1
    norms: Literal["noise", "batch", "sample"] = "noise"

    def __post_init__(self):
        check_corrector(self.snr, self.steps)
        require(
            self.norms in ("noise", "batch", "sample"), f'norms = {self.norms!r}; allowed: "noise", "batch", "sample"'
        )

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]:
        score = model.score(x, t, condition)
        if self.norms == "noise":
            a = model.sde.transition(t, jnp.maximum(s, 0))[0] ** 2
            ratio = model.sde.sigma(t)
        else:
            a = chain(model.sde, t, s)[0] ** 2
            of_noise, of_score = (jnp.sqrt(sum_over_sample(v**2)) for v in (noise, score))
            if self.norms == "batch":
                of_noise, of_score = of_noise.mean(), of_score.mean()
            ratio = of_noise / of_score
        return langevin_step(x, score, noise, 2 * a * (self.snr * ratio) ** 2)


@dataclasses.dataclass(frozen=True)
class AnnealedLangevin:
    """Annealed Langevin dynamics (Song & Ermon 2019): ε = 2a (snr σ_t)², a of the discrete chain (1 − β for VP)."""

    snr: int | float = 0.16
    steps: int = 1

    def __post_init__(self):
        check_corrector(self.snr, self.steps)

    def step(
        self, model: Denoiser, x: Sample, t: Time, s: Time, noise: Sample, condition: Condition = None
    ) -> tuple[Sample, Sample]:
        a = chain(model.sde, t, s)[0] ** 2
        score = model.score(x, t, condition)
        return langevin_step(x, score, noise, 2 * a * (self.snr * model.sde.sigma(t)) ** 2)


def langevin_step(x: Sample, score: Sample, noise: Sample, epsilon: Time) -> tuple[Sample, Sample]:
    """x + ε ∇log p + √(2ε) z, and its mean without z."""
    epsilon = per_sample(epsilon, x)
    mean = x + epsilon * score
    return mean + jnp.sqrt(2 * epsilon) * noise, mean


def check_corrector(snr: int | float, steps: int) -> None:
    """Raise a ValueError unless snr is positive and steps an integer >= 1."""
    require(snr > 0, f"snr = {snr}; it must be positive (0.16 for CIFAR-10 in the paper)")
    require(isinstance(steps, int) and steps >= 1, f"steps = {steps!r}; give a whole number >= 1, or corrector=None")
