"""Denoisers around a denoiser: all that a wrapper does not change is passed on."""

import dataclasses

from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Sample
from score_sde.conditions import Condition
from score_sde.denoiser.base import Cost, Denoiser


@dataclasses.dataclass(frozen=True)
class Wrapper(Denoiser):
    """The model itself, until a subclass says what is different.

    ``predict`` is passed on, and so is ``noise_on_chain``, which is other than ``noise`` for a discrete model. A subclass
    that changes ``predict`` changes denoise, noise, score and velocity with it, and must say what happens on a chain.
    """

    model: Denoiser

    @property
    def cost(self) -> Cost:
        return self.model.cost

    @property
    def defined_without_signal(self) -> bool:
        return self.model.defined_without_signal

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self.model.predict(x, t, condition)

    def noise_on_chain(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        return self.model.noise_on_chain(x, t, condition)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "Wrapper":
        return dataclasses.replace(self, model=self.model.with_dropout(keys))


@dataclasses.dataclass(frozen=True)
class WithoutDropout(Wrapper):
    """A model that no loss can switch dropout on for."""

    def with_dropout(self, keys: Key[Array, "batch"]) -> "WithoutDropout":
        return self


def without_dropout(model: Denoiser) -> WithoutDropout:
    """The model for evaluation with a loss of training."""
    return WithoutDropout(model.sde, model)
