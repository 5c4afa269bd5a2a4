"""The distribution of a loss's times: densities q(t) over [t_min, t_end], given by their quantile functions.

t = Q(u) with u uniform in [0, 1], so any of them can be stratified. A loss divides by q, so the choice of q changes
the variance of its estimate but not the expectation. t_end is t_max, or t_max_sampling if α(t_max) = 0.
"""

import dataclasses
from typing import Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.sde import SDE
from score_sde.sde.base import derivative

Values: TypeAlias = Float[Array, "..."]


@runtime_checkable
class Times(Protocol):
    """A density over times."""

    def quantile(self, sde: SDE, u: Values) -> Values:
        """t = Q(u)."""

    def density(self, sde: SDE, t: Values) -> Values:
        """q(t) = 1/Q'(u), which integrates to one over the span of times."""


def span(sde: SDE) -> tuple[Values, Values]:
    """(t_min, t_end): the range of the times of losses."""
    singular = jnp.isneginf(sde.log_snr(sde.t_max))
    return jnp.asarray(sde.t_min, float), jnp.where(singular, sde.t_max_sampling, sde.t_max)


@dataclasses.dataclass(frozen=True)
class Uniform:
    """t ~ U(t_min, t_end), as in Song et al. 2021."""

    def quantile(self, sde: SDE, u: Values) -> Values:
        first, last = span(sde)
        return first + (last - first) * u

    def density(self, sde: SDE, t: Values) -> Values:
        first, last = span(sde)
        return jnp.full_like(t, 1 / (last - first))


@dataclasses.dataclass(frozen=True)
class LogSNRUniform:
    """λ ~ U: the importance sampling of likelihood training (Song et al. 2021b, section 4.2) for every SDE.

    Their q ∝ g²/σ² equals −dλ/dt, so drawing t from q is drawing λ uniformly.
    """

    def quantile(self, sde: SDE, u: Values) -> Values:
        high, low = _log_snr_span(sde)
        return _inside(sde, sde.time_of_log_snr(high + (low - high) * u))

    def density(self, sde: SDE, t: Values) -> Values:
        high, low = _log_snr_span(sde)
        return -derivative(sde.log_snr, t) / (high - low)


@dataclasses.dataclass(frozen=True)
class AngleUniform:
    """θ = arctan(σ/α) ~ U: uniform along the arc cos θ x_0 + sin θ ε of x_t/√(α² + σ²) (Salimans & Ho 2022, section 4)."""

    def quantile(self, sde: SDE, u: Values) -> Values:
        first, last = self._span(sde)
        return _inside(sde, sde.time_of_log_snr(-2 * jnp.log(jnp.tan(first + (last - first) * u))))

    def density(self, sde: SDE, t: Values) -> Values:
        first, last = self._span(sde)
        ratio = jnp.exp(-sde.log_snr(t) / 2)  # σ/α = tan θ
        return -derivative(sde.log_snr, t) / 2 * ratio / (1 + ratio**2) / (last - first)

    def _span(self, sde: SDE) -> tuple[Values, Values]:
        high, low = _log_snr_span(sde)
        return jnp.arctan(jnp.exp(-high / 2)), jnp.arctan(jnp.exp(-low / 2))


@dataclasses.dataclass(frozen=True)
class LogNormal:
    """ln(σ/α) ~ N(mean, std²), truncated to the span (Karras et al. 2022, Table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self):
        require(self.std > 0, f"std = {self.std}; it must be positive")

    def quantile(self, sde: SDE, u: Values) -> Values:
        first, last = self._span(sde)
        z = ndtri(_between(first, last, u))
        return _inside(sde, sde.time_of_log_snr(-2 * (self.mean + self.std * z)))

    def density(self, sde: SDE, t: Values) -> Values:
        first, last = self._span(sde)
        z = (-sde.log_snr(t) / 2 - self.mean) / self.std
        return norm.pdf(z) / self.std * -derivative(sde.log_snr, t) / 2 / (last - first)

    def _span(self, sde: SDE) -> tuple[Values, Values]:
        high, low = _log_snr_span(sde)
        return ndtr((-high / 2 - self.mean) / self.std), ndtr((-low / 2 - self.mean) / self.std)


@dataclasses.dataclass(frozen=True)
class LogitNormal:
    """logit(t/t_max) ~ N(mean, std²), truncated to the span (Esser et al. 2024, section 3.1)."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        require(self.std > 0, f"std = {self.std}; it must be positive")

    def quantile(self, sde: SDE, u: Values) -> Values:
        first, last = self._span(sde)
        z = ndtri(_between(first, last, u))
        return _inside(sde, sde.t_max * jax.nn.sigmoid(self.mean + self.std * z))

    def density(self, sde: SDE, t: Values) -> Values:
        first, last = self._span(sde)
        share = t / sde.t_max
        slope = 1 / (share * (1 - share) * sde.t_max)  # of the logit
        return norm.pdf(self._z(sde, t)) / self.std * slope / (last - first)

    def _z(self, sde: SDE, t: Values) -> Values:
        return (jnp.log(t) - jnp.log(sde.t_max - t) - self.mean) / self.std

    def _span(self, sde: SDE) -> tuple[Values, Values]:
        first, last = span(sde)
        return ndtr(self._z(sde, first)), ndtr(self._z(sde, last))


@dataclasses.dataclass(frozen=True)
class Stratified:
    """Stratified draws from any density: example i of n draws its u from the i-th of n equal parts of [0, 1].

    The mean over a batch remains unbiased, and its variance over t falls from O(1/n) to O(1/n³) (the time of a single
    example no longer covers the whole span). Under ``jax.pmap`` or FSDP, give the axis name so that n is the
    whole batch.
    """

    times: Times = Uniform()
    axis_name: str | None = None

    def quantile(self, sde: SDE, u: Values) -> Values:
        n, part = len(u), jnp.arange(len(u))
        if self.axis_name is not None:
            part = part + n * jax.lax.axis_index(self.axis_name)
            n = n * jax.lax.axis_size(self.axis_name)
        return self.times.quantile(sde, (part + u) / n)

    def density(self, sde: SDE, t: Values) -> Values:
        return self.times.density(sde, t)


def _log_snr_span(sde: SDE) -> tuple[Values, Values]:
    first, last = span(sde)
    return sde.log_snr(first), sde.log_snr(last)


def _between(first: Values, last: Values, u: Values) -> Values:
    """first + (last − first) u, kept away from 0 and 1, where the normal quantile is infinite."""
    return jnp.clip(first + (last - first) * u, jnp.finfo(u.dtype).tiny, 1 - jnp.finfo(u.dtype).epsneg)


def _inside(sde: SDE, t: Values) -> Values:
    """t clipped to the span, which rounding may leave."""
    return jnp.clip(t, *span(sde))
