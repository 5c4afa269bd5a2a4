"""Denoisers that wrap a denoiser and delegate to it what they do not change."""

import dataclasses
from collections.abc import Mapping

from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Sample
from score_sde.conditions import Condition
from score_sde.denoiser.base import Cost, Denoiser


@dataclasses.dataclass(frozen=True)
class Wrapper(Denoiser):
    """A denoiser that behaves like ``model``; subclasses override what differs.

    ``predict`` and ``on_chain``, its counterpart for a discrete model, are delegated. A subclass that overrides ``predict``
    also changes denoise, noise, score and velocity; it must override ``on_chain``.
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

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        return self.model.on_chain(x, t, condition)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "Wrapper":
        return dataclasses.replace(self, model=self.model.with_dropout(keys))


@dataclasses.dataclass(frozen=True)
class WithoutDropout(Wrapper):
    """A model whose dropout no loss can enable."""

    def with_dropout(self, keys: Key[Array, "batch"]) -> "WithoutDropout":
        return self


def without_dropout(model: Denoiser) -> WithoutDropout:
    """The model without dropout, for evaluation."""
    return WithoutDropout(model.sde, model)
