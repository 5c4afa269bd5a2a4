"""The interface of flow maps: X(x_t, t, s), the solution at time s of dx/dt = v(x, t) that passes x_t at time t.

A flow map is a prediction of two times: a pair (x̂, ε̂) that depends on t and s, with x_t = α_t x̂ + σ_t ε̂, and

    X(x_t, t, s) = α_s x̂ + σ_s ε̂ = x_t + (s − t) u(x_t, t, s),     u = (α_s − α_t)/(s − t) x̂ + (σ_s − σ_t)/(s − t) ε̂.

So X(x_t, t, t) = x_t whatever the prediction. The true map is the one for which ∂X/∂s = v(X, s); there u is the mean of
the velocity on the way, and on the diagonal s = t the pair is that of a denoiser: u(x_t, t, t) = v(x_t, t). Under flow
matching u is MeanFlow's average velocity (Geng et al. 2025), and in the variance-exploding case X is that of
consistency trajectory models (Kim et al. 2024, eq. 5).
"""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde import pytree
from score_sde.checks import Sample, as_time, per_sample
from score_sde.conditions import Condition
from score_sde.denoiser import Cost, Denoiser
from score_sde.sde import SDE
from score_sde.sde.base import derivative


@dataclasses.dataclass(frozen=True)
class FlowMap:
    """A model of X(x_t, t, s). Subclasses define ``predict``. x is (batch, *shape), t and s are () or (batch,).

    A pytree, like a denoiser: its fields are leaves unless declared ``field(metadata={"static": True})``.
    """

    sde: SDE

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        pytree.register(cls, static_unless_told=False)

    @property
    def cost(self) -> Cost:
        """The cost of one call."""
        return Cost()

    @property
    def only_to_data(self) -> bool:
        """Whether s must be t_min, as for consistency models."""
        return False

    def predict(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        """(x̂, ε̂) for the way from t to s."""
        raise TypeError(f"{type(self).__name__} does not define predict(x, t, s, condition)")

    def __call__(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> Sample:
        """X(x_t = x, t, s) = α_s x̂ + σ_s ε̂."""
        x0, noise = self.predict(x, t, s, condition)
        s = as_time(s, self.sde.t_max, x, name="s")
        return per_sample(self.sde.alpha(s), x) * x0 + per_sample(self.sde.sigma(s), x) * noise

    def average_velocity(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> Sample:
        """u = (X − x)/(s − t), also where s = t."""
        x0, noise = self.predict(x, t, s, condition)
        of_alpha, of_sigma = (per_sample(slope(f, t, s), x) for f in (self.sde.alpha, self.sde.sigma))
        return of_alpha * x0 + of_sigma * noise

    @property
    def diagonal(self) -> "Diagonal":
        """The denoiser that the map is where s = t."""
        return Diagonal(self.sde, self)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "FlowMap":
        """The map with dropout enabled, one key per sample; a map without a network is unchanged."""
        return self


@dataclasses.dataclass(frozen=True)
class Diagonal(Denoiser):
    """The denoiser that a flow map is where s = t."""

    flow_map: FlowMap

    @property
    def cost(self) -> Cost:
        return self.flow_map.cost

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self.flow_map.predict(x, t, t, condition)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "Diagonal":
        return dataclasses.replace(self, flow_map=self.flow_map.with_dropout(keys))


@dataclasses.dataclass(frozen=True)
class WithoutDropout(FlowMap):
    """A map whose dropout no loss can enable."""

    flow_map: FlowMap

    @property
    def cost(self) -> Cost:
        return self.flow_map.cost

    @property
    def only_to_data(self) -> bool:
        return self.flow_map.only_to_data

    def predict(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self.flow_map.predict(x, t, s, condition)


def without_dropout(model: FlowMap) -> WithoutDropout:
    """The map without dropout, for evaluation."""
    return WithoutDropout(model.sde, model)


Drawable: TypeAlias = Denoiser | FlowMap
"""A model that samples are drawn from."""


def slope(f: Callable[[Array], Array], t: ArrayLike, s: ArrayLike) -> Float[Array, "..."]:
    """(f(s) − f(t))/(s − t); for near times, whose difference has few digits, f' at their middle (error h² f'''/24)."""
    t, s = jnp.broadcast_arrays(jnp.asarray(t) * 1.0, jnp.asarray(s) * 1.0)
    near = jnp.abs(s - t) <= jnp.finfo(t.dtype).eps ** 0.3 * jnp.maximum(t, s)
    step = jnp.where(near, 1.0, s - t)
    return jnp.where(near, derivative(f, (t + s) / 2), (f(s) - f(t)) / step)


def pair_through(sde: SDE, x: Sample, t: ArrayLike, x_s: Sample, s: ArrayLike) -> tuple[Sample, Sample]:
    """(x̂, ε̂) with α_t x̂ + σ_t ε̂ = x and α_s x̂ + σ_s ε̂ = x_s; NaN where s = t."""
    alpha_t, sigma_t, alpha_s, sigma_s = (per_sample(f(at), x) for at in (t, s) for f in (sde.alpha, sde.sigma))
    determinant = alpha_t * sigma_s - sigma_t * alpha_s
    return (sigma_s * x - sigma_t * x_s) / determinant, (alpha_t * x_s - alpha_s * x) / determinant
