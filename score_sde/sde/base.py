"""Forward processes, from data to noise.

A linear SDE  dx = f(t) x dt + g(t) dW  is fully described by its marginal

    x_t = α(t) x_0 + σ(t) ε,   ε ~ N(0, I),

so an SDE is defined by the two functions α and σ. The base class derives everything else by differentiation
(Song et al. 2021, eq. 29; Kingma et al. 2021, eq. 9-11):

    f(t) = d log α / dt,   g²(t) = dσ²/dt − 2 f σ²,   λ(t) = log α²/σ²  (log-SNR).

A new SDE takes two lines::

    class Gentle(ss.SDE):
        def log_alpha(self, t): return -2 * t**2
        def sigma(self, t): return jnp.sqrt(-jnp.expm1(-4 * t**2))
"""

import dataclasses
import math
from collections.abc import Callable
from functools import wraps
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde import pytree
from score_sde.checks import Sample, Times, as_step, as_time, per_sample, require, sum_over_sample


def of_time(method: Callable) -> Callable:
    """Decorator for methods of t: check the argument and make it an array."""

    @wraps(method)
    def checked(self, t: ArrayLike) -> Times:
        return method(self, as_time(t, self.t_max))

    return checked


def derivative(function: Callable[[Array], Array], t: Times) -> Times:
    """d function / dt, elementwise."""
    return jax.jvp(function, (t,), (jnp.ones_like(t),))[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SDE:
    """x_t = α(t) x_0 + σ(t) ε for t from 0 (data) to ``t_max`` (noise). Subclasses define ``sigma`` and one of
    ``alpha`` and ``log_alpha`` (the more accurate one; the other follows).

    ``t_min`` and ``t_max`` bound losses and likelihoods; samplers start at ``t_max_sampling`` and end at
    ``t_min_sampling``. Fields are static parts of the pytree; ``field(metadata={"static": False})`` makes one a leaf.
    """

    t_min: float = 1e-5
    t_max: float = 1.0
    t_min_sampling: float = 1e-3
    t_max_sampling: float = 1.0

    time_power: ClassVar[float] = 1.0
    """The paper's sampling times are uniform in t^(1/time_power): 1 for uniform times, 7 for EDM's."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.alpha is SDE.alpha and cls.log_alpha is SDE.log_alpha:
            raise TypeError(f"{cls.__name__} defines neither alpha(t) nor log_alpha(t); define one of them")
        pytree.register(cls, static_unless_told=True)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata.get("static", True) and isinstance(value, jax.Array | np.ndarray):
                raise TypeError(
                    f"{type(self).__name__}: {field.name} is an array, but the field is static: give a Python number, "
                    'or declare the field with metadata={"static": False}'
                )
        require(
            0 <= self.t_min < self.t_max < math.inf,
            f"t_min = {self.t_min}, t_max = {self.t_max}: 0 <= t_min < t_max",
        )
        require(
            0 <= self.t_min_sampling < self.t_max_sampling <= self.t_max,
            f"t_min_sampling = {self.t_min_sampling}, t_max_sampling = {self.t_max_sampling}: "
            f"0 <= t_min_sampling < t_max_sampling <= t_max = {self.t_max}",
        )

    # The two functions.

    @of_time
    def alpha(self, t: Times) -> Times:
        """α(t), the factor of the data."""
        return jnp.exp(self.log_alpha(t))

    @of_time
    def log_alpha(self, t: Times) -> Times:
        """log α(t)."""
        return jnp.log(self.alpha(t))

    def sigma(self, t: ArrayLike) -> Times:
        """σ(t), the standard deviation of the noise."""
        raise TypeError(f"{type(self).__name__} does not define sigma(t)")

    # Quantities derived from them.

    @of_time
    def alpha_dot(self, t: Times) -> Times:
        """α'(t) = dα/dt."""
        return derivative(self.alpha, t)

    @of_time
    def sigma_dot(self, t: Times) -> Times:
        """σ'(t) = dσ/dt (just above t = 0 if t = 0, where σ may grow like √t)."""
        return derivative(self.sigma, self._above_zero(t))

    @of_time
    def drift_rate(self, t: Times) -> Times:
        """f(t) = d log α / dt, never positive; −∞ where α reaches 0."""
        return derivative(self.log_alpha, t)

    def drift(self, x: Sample, t: ArrayLike) -> Sample:
        """f(t) x."""
        return per_sample(self.drift_rate(as_time(t, self.t_max, x)), x) * x

    @of_time
    def diffusion(self, t: Times) -> Times:
        """g(t) = √(2σ(σ' − fσ)), the same as g² = dσ²/dt − 2fσ²; ∞ where α reaches 0.

        There is no cancellation, as f <= 0 and σ' >= 0.
        """
        t = self._above_zero(t)
        sigma = self.sigma(t)
        return jnp.sqrt(2 * sigma * (derivative(self.sigma, t) - self.drift_rate(t) * sigma))

    @of_time
    def log_snr(self, t: Times) -> Times:
        """λ(t) = log α²/σ²: falls from ∞ (or a large value) to −∞ (or a small one)."""
        return 2 * (self.log_alpha(t) - jnp.log(self.sigma(t)))

    def time_of_log_snr(self, log_snr: ArrayLike) -> Times:
        """The t at which λ(t) = ``log_snr``; a value outside the range of λ gives the nearer end of [0, t_max].

        Bisection, then one Newton step, which refines t and gives the derivative dt/dλ = 1/λ'(t).
        """
        level = jnp.asarray(log_snr) * 1.0

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            above = self.log_snr(middle) > jax.lax.stop_gradient(level)
            return jnp.where(above, middle, low), jnp.where(above, high, middle)

        bracket = (jnp.zeros_like(level), jnp.full_like(level, self.t_max))
        low, high = jax.lax.fori_loop(0, 80, halve, bracket)
        t = jax.lax.stop_gradient((low + high) / 2)
        step = (self.log_snr(t) - level) / derivative(self.log_snr, t)
        inside = jnp.isfinite(step) & (t > 0) & (t < self.t_max)
        return jnp.clip(jnp.where(inside, t - step, t), 0.0, self.t_max)

    def transition(self, t: ArrayLike, s: ArrayLike) -> tuple[Times, Times]:
        """x_t | x_s ~ N(α_t/α_s x_s, σ_{t|s}²) for s < t: (α_t/α_s, σ_{t|s}²).

        σ_{t|s}² = σ_t² − (α_t/α_s)² σ_s²   (Kingma et al. 2021, appendix A.1).
        """
        t, s = as_step(t, s, self.t_max)
        ratio = jnp.exp(self.log_alpha(t) - self.log_alpha(s))
        sigma_t, kept = self.sigma(t), ratio * self.sigma(s)
        return ratio, (sigma_t - kept) * (sigma_t + kept)

    def discretize(self, x: Sample, t: ArrayLike, s: ArrayLike) -> tuple[Array, Times]:
        """(F, G) of one step of the discrete chain from s to t, x_t = x_s + F + G ε; here Euler's:

        F = f(t) x (t − s),  G = g(t) √(t − s). VP and VE override it with the chains of DDPM and SMLD.
        s may lie below 0, as in the last step of the original code.
        """
        t, s = as_step(t, s, self.t_max, x, lowest=-math.inf)
        return per_sample(t - s, x) * self.drift(x, t), self.diffusion(t) * jnp.sqrt(t - s)

    @of_time
    def discrete_alpha(self, t: Times) -> Times:
        """α at time t of the chain of ``discretize``, or α(t) if the SDE has no chain of its own."""
        return self.alpha(t)

    @of_time
    def discrete_sigma(self, t: Times) -> Times:
        """σ at time t of the chain of ``discretize``, or σ(t) if the SDE has no chain of its own."""
        return self.sigma(t)

    # The two ends.

    def perturb(self, x0: Sample, t: ArrayLike, noise: Array | np.ndarray) -> Sample:
        """x_t = α(t) x_0 + σ(t) ε."""
        require(x0.shape == noise.shape, f"noise has shape {noise.shape}, x0 has {x0.shape}; they must be equal")
        t = as_time(t, self.t_max, x0)
        return per_sample(self.alpha(t), x0) * x0 + per_sample(self.sigma(t), x0) * noise

    @property
    def prior_std(self) -> float | Times:
        """The standard deviation of the prior N(0, prior_std² I), from which sampling starts."""
        return self.sigma(self.t_max)

    def prior_sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """A draw from the prior with this full ``shape``."""
        return self.prior_std * jax.random.normal(key, shape)

    def prior_log_prob(self, x: Sample) -> Float[Array, "batch"]:
        """log N(x; 0, prior_std² I), one value per sample."""
        dimensions = math.prod(x.shape[1:])
        z = x / per_sample(self.prior_std, x)
        return -0.5 * sum_over_sample(z**2) - dimensions * (0.5 * math.log(2 * math.pi) + jnp.log(self.prior_std))

    def _above_zero(self, t: Times) -> Times:
        """t, moved just above 0: where σ grows like √t, σ' is infinite at t = 0 although g is finite."""
        return jnp.maximum(t, 1e-20 * self.t_max)
