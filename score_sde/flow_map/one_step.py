"""Denoisers as flow maps: the step of DDIM, and consistency models (Song et al. 2023), f(x_t, t) = X(x_t, t, t_min)."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Sample, is_concrete, require
from score_sde.conditions import Condition
from score_sde.denoiser import Cost, Denoiser
from score_sde.flow_map.base import FlowMap


@dataclasses.dataclass(frozen=True)
class OneStep(FlowMap):
    """A denoiser that pays no heed to s, made by ``ddim``."""

    model: Denoiser

    @property
    def cost(self) -> Cost:
        return self.model.cost

    def predict(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self.model.predict(x, jnp.asarray(t), condition)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "OneStep":
        return dataclasses.replace(self, model=self.model.with_dropout(keys))


@dataclasses.dataclass(frozen=True)
class Consistency(OneStep):
    """A flow map to t_min alone, made by ``consistency``."""

    @property
    def only_to_data(self) -> bool:
        return True

    def predict(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        asked = np.asarray(s) if is_concrete(s) else np.zeros(())
        require(
            not np.any(asked > self.sde.t_min * (1 + 1e-6)),
            f"s = {np.max(asked):g}; a consistency model leads to the data alone, s = t_min = {self.sde.t_min:g}. Between "
            "steps, sample with few_step(…, gamma=1), which adds the noise again",
        )
        return super().predict(x, t, s, condition)


def ddim(model: Denoiser) -> OneStep:
    """The flow map α_s x̂ + σ_s ε̂ that a denoiser is by itself: exact as s → t, and a step of DDIM."""
    return OneStep(model.sde, model)


def consistency(model: Denoiser) -> Consistency:
    """A network in the form of a denoiser, trained with a consistency loss, as a flow map.

    The boundary f(x, t_min) = x holds for every kind of prediction: X(x, t, t_min) = α x̂ + σ ε̂ at t_min.
    """
    return Consistency(model.sde, model)
