"""The language that everything downstream of a network speaks: the posterior mean and the noise.

Given x_t = α x_0 + σ ε, a denoiser knows x̂ = E[x_0 | x_t] and ε̂ = E[ε | x_t], tied by x_t = α x̂ + σ ε̂, and so

    score     ∇ log p_t(x_t) = −ε̂/σ                 (Tweedie's formula)
    velocity  dx/dt = α' x̂ + σ' ε̂                   (the probability-flow ODE; Song et al. 2021, eq. 13)

The velocity is finite even where α(t_max) = 0 and drift and diffusion are not. Both x̂ and ε̂ are primitive: a score
taken through x̂ loses its digits at small σ, a mean taken through ε̂ at small α.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, PyTree

from score_sde import prediction, pytree
from score_sde.checks import Sample, as_time, is_concrete, per_sample, require
from score_sde.prediction import Kind
from score_sde.sde import SDE

Condition: TypeAlias = PyTree  # None, or a tree whose leaves lead with the batch axis


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """E[x_0 | x_t] and E[ε | x_t] under an SDE. Subclasses define ``predict``, or one of ``denoise`` and ``noise``.

    x is (batch, *shape), t is () or (batch,), and the leaves of a condition lead with batch. A denoiser is a pytree:
    its fields are leaves unless declared ``field(metadata={"static": True})``.
    """

    sde: SDE

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        pytree.register(cls, static_unless_told=False)

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        """(x̂, ε̂) of one evaluation: one from what the subclass defines, the other through x = α x̂ + σ ε̂."""
        alpha, sigma = (per_sample(a, x) for a in (self.sde.alpha(t), self.sde.sigma(t)))
        if type(self).denoise is not Denoiser.denoise:
            x0 = self.denoise(x, t, condition)
            return x0, (x - alpha * x0) / sigma
        if type(self).noise is not Denoiser.noise:
            noise = self.noise(x, t, condition)
            return (x - sigma * noise) / alpha, noise
        raise TypeError(f"{type(self).__name__} defines none of predict, denoise and noise; define one of them")

    def denoise(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """x̂ = E[x_0 | x_t = x]."""
        return self.predict(x, t, condition)[0]

    def noise(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """ε̂ = E[ε | x_t = x]."""
        return self.predict(x, t, condition)[1]

    def score(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """∇ log p_t(x) = −ε̂/σ."""
        return -self.noise(x, t, condition) / per_sample(self.sde.sigma(t), x)

    def noise_on_chain(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """ε̂ where x lies on the SDE's discrete chain, whose σ_k differs a little from σ(t): −σ_k score."""
        return -self.score(x, t, condition) * per_sample(self.sde.discrete_sigma(t), x)

    def velocity(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        """dx/dt = α' x̂ + σ' ε̂."""
        x0, noise = self.predict(x, t, condition)
        return per_sample(self.sde.alpha_dot(t), x) * x0 + per_sample(self.sde.sigma_dot(t), x) * noise

    def posterior(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Callable[[Sample], Sample]]:
        """The mean of x_0 | x_t = x, and v -> Cov[x_0 | x_t] v = (σ²/α) (∂x̂/∂x)ᵀ v  (Tweedie's second formula)."""
        x0, pullback = jax.vjp(lambda x: self.denoise(x, t, condition), x)
        scale = per_sample(self.sde.sigma(t) ** 2 / self.sde.alpha(t), x)
        return x0, lambda v: scale * pullback(v)[0]

    def with_dropout(self, keys: Key[Array, "batch"]) -> "Denoiser":
        """The denoiser with dropout switched on, one key for each sample. Without a network: itself."""
        return self


@runtime_checkable
class Network(Protocol):
    """A plain function of arrays; it knows no SDE and holds no random state."""

    def __call__(self, x, noise_level, condition=None, *, dropout_keys=None) -> Any: ...


@dataclasses.dataclass(frozen=True)
class _PredictingDenoiser(Denoiser):
    """A denoiser made from one kind of prediction, ``output``; what it predicts is returned as it is."""

    predicts: Kind = dataclasses.field(metadata={"static": True}, kw_only=True)
    sigma_data: float = dataclasses.field(default=0.5, metadata={"static": True}, kw_only=True)  # for "edm" alone

    def __post_init__(self):
        prediction.check_kind(self.predicts)
        require(self.sigma_data > 0, f"sigma_data = {self.sigma_data}; it must be positive")

    def output(self, x: Sample, t: Float[Array, "batch"], condition: Condition) -> Sample:
        """The prediction at x_t = x."""
        raise TypeError(f"{type(self).__name__} does not define output(x, t, condition)")

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        p = self._checked_output(x, t, condition)
        return prediction.decode(self.predicts, self.sde, x, p, as_time(t, self.sde.t_max), self.sigma_data)

    def denoise(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        direct = self.predicts == "data"
        return self._checked_output(x, t, condition) if direct else super().denoise(x, t, condition)

    def noise(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        direct = self.predicts == "noise"
        return self._checked_output(x, t, condition) if direct else super().noise(x, t, condition)

    def noise_on_chain(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        direct = self.predicts == "noise"
        return self._checked_output(x, t, condition) if direct else super().noise_on_chain(x, t, condition)

    def score(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        direct = self.predicts == "score"
        return self._checked_output(x, t, condition) if direct else super().score(x, t, condition)

    def velocity(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        direct = self.predicts == "velocity"
        return self._checked_output(x, t, condition) if direct else super().velocity(x, t, condition)

    def _checked_output(self, x: Sample, t: ArrayLike, condition: Condition) -> Sample:
        t = as_time(t, self.sde.t_max, x)
        if self.predicts in ("noise", "score") and is_concrete(t) and self._without_data(t):
            raise ValueError(
                f"predicts = {self.predicts!r} cannot be used at t = {self.sde.t_max:g} of {type(self.sde).__name__}: "
                "alpha is 0 there and the posterior mean would be 0/0. Begin at t_max_sampling = "
                f'{self.sde.t_max_sampling:g}, or let the network predict "v" or "velocity"'
            )
        check_condition(condition, x)
        return self.output(x, jnp.broadcast_to(t, x.shape[:1]), condition)

    def _without_data(self, t: Array) -> bool:
        """Whether α(t) = 0 somewhere; t may be a constant inside jit. False where the SDE itself cannot be looked at."""
        with jax.ensure_compile_time_eval():
            alpha = self.sde.alpha(t)
        return is_concrete(alpha) and bool(np.any(np.asarray(alpha) == 0))


@dataclasses.dataclass(frozen=True)
class FunctionDenoiser(_PredictingDenoiser):
    """A denoiser from any ``function(x, t, condition)`` that returns what ``predicts`` says; t comes as (batch,)."""

    function: Callable

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "function", as_tree(self.function, "function"))

    def output(self, x: Sample, t: Float[Array, "batch"], condition: Condition) -> Sample:
        return self.function(x, t, condition)


@dataclasses.dataclass(frozen=True)
class NetworkDenoiser(_PredictingDenoiser):
    """A denoiser from a network. ``noise_level(sde, t)`` is what the network is told of t, shape (batch,); unless
    given, it is ``log_noise_level`` for "edm" and ``scaled_time`` for all other predictions.

    The network is a Flax NNX module, another pytree that can be called, or a plain function (which is then static).
    Parameters are the leaves, so ``jax.grad`` with respect to the denoiser is the gradient of the parameters.
    """

    network: Network
    noise_level: Callable[[SDE, Array], Array] | None = dataclasses.field(
        default=None, metadata={"static": True}, kw_only=True
    )
    dropout_keys: Key[Array, "batch"] | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "network", as_tree(self.network, "network"))

    def with_dropout(self, keys: Key[Array, "batch"]) -> "NetworkDenoiser":
        return dataclasses.replace(self, dropout_keys=keys)

    def output(self, x: Sample, t: Float[Array, "batch"], condition: Condition) -> Sample:
        noise_level = self.noise_level or (log_noise_level if self.predicts == "edm" else scaled_time)
        level = noise_level(self.sde, t).astype(x.dtype)
        if self.predicts == "edm":
            variance = self.sde.sigma(t) ** 2 + (self.sde.alpha(t) * self.sigma_data) ** 2
            x = x / per_sample(jnp.sqrt(variance), x)  # c_in
        out = self.network(x, level, condition, dropout_keys=self.dropout_keys)
        require(out.shape == x.shape, f"the network returned shape {out.shape} for x of shape {x.shape}")
        return out


# What a network may be told of the time.


def scaled_time(sde: SDE, t: Array) -> Array:
    """999 t/t_max: the original's VP and sub-VP networks, whatever the number of scales."""
    return 999.0 * t / sde.t_max


def sigma_level(sde: SDE, t: Array) -> Array:
    """σ(t): the original's continuous VE networks."""
    return sde.sigma(t)


def log_noise_level(sde: SDE, t: Array) -> Array:
    """c_noise = ln(σ/α)/4 = −λ/8 (Karras et al. 2022, Table 1)."""
    return -sde.log_snr(t) / 8


def ddpm_label(sde: SDE, t: Array) -> Array:
    """T (N − 1), not rounded: the original's discrete VP networks."""
    return t * (sde.num_scales - 1)  # type: ignore[attr-defined]


def smld_label(sde: SDE, t: Array) -> Array:
    """(t_max − t)(N − 1), rounded: the original's discrete VE networks, where label 0 is the largest σ."""
    return jnp.round((sde.t_max - t) * (sde.num_scales - 1))  # type: ignore[attr-defined]


def as_tree(function: Callable, name: str) -> Any:
    """A callable as a pytree: a plain function becomes one without leaves, a pytree stays as it is."""
    if not callable(function):
        raise TypeError(f"{name} = {function!r} cannot be called; give a function or a module")
    return jax.tree_util.Partial(function) if jax.tree_util.all_leaves([function]) else function


def check_condition(condition: Condition, x: Sample) -> None:
    """Raise a ValueError unless every leaf of the condition leads with the batch axis of x."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(condition):
        name, shape = jax.tree_util.keystr(path), jnp.shape(leaf)
        require(
            shape[:1] == x.shape[:1],
            f"condition{name} has shape {shape}; its first axis must be the batch of x, {x.shape[:1]}",
        )
