"""Denoisers defined by one prediction of a network or of any function."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample, as_time, is_concrete, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import prediction
from score_sde.denoiser.base import Denoiser
from score_sde.denoiser.levels import log_noise_level, scaled_time
from score_sde.denoiser.prediction import Kind
from score_sde.sde import SDE

Call = Callable[[], Array]


@runtime_checkable
class Network(Protocol):
    """A plain function of arrays, independent of the SDE and without random state."""

    def __call__(self, x, noise_level, condition=None, *, dropout_keys=None) -> Any: ...


@dataclasses.dataclass(frozen=True)
class PredictingDenoiser(Denoiser):
    """A denoiser defined by one prediction. The predicted quantity itself is returned without conversion.

    ``beside``: names of further outputs, such as a learned variance, each of the shape of x, after the prediction
    along the last axis. ``predict_all`` returns them.

    Subclasses define ``call``, which returns a function that computes the prediction at x_t = x. It is called here, so
    that a traceback leads directly from a sampler's step to the network.
    """

    predicts: Kind = dataclasses.field(metadata={"static": True}, kw_only=True)
    sigma_data: float = dataclasses.field(default=0.5, metadata={"static": True}, kw_only=True)  # only for "edm"
    beside: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True}, kw_only=True)

    def __post_init__(self):
        prediction.check_kind(self.predicts)
        require(self.sigma_data > 0, f"sigma_data = {self.sigma_data}; it must be positive")

    def call(self, x: Sample, t: Float[Array, "batch"], condition: Condition) -> Call:
        """A function that computes the prediction at x_t = x."""
        raise TypeError(f"{type(self).__name__} does not define call(x, t, condition)")

    @property
    def defined_without_signal(self) -> bool:
        return self.predicts not in ("noise", "score")

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        p = like(x, self._prepared(x, t, condition)(), self.beside)
        return prediction.decode(self.predicts, self.sde, x, p, as_time(t, self.sde.t_max), self.sigma_data)

    def predict_all(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, dict[str, Sample]]:
        """(x̂, ε̂, the further outputs by name)."""
        p, others = self.outputs(x, t, condition)
        x0, noise = prediction.decode(self.predicts, self.sde, x, p, as_time(t, self.sde.t_max), self.sigma_data)
        return x0, noise, others

    def outputs(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, dict[str, Sample]]:
        """(the prediction as it is, the further outputs by name)."""
        output = self._prepared(x, t, condition)()
        p = like(x, output, self.beside)
        _, *others = jnp.split(output, 1 + len(self.beside), axis=-1)
        return p, dict(zip(self.beside, others, strict=True))

    def denoise(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        if self.predicts != "data":
            return super().denoise(x, t, condition)
        return like(x, self._prepared(x, t, condition)(), self.beside)

    def noise(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        if self.predicts != "noise":
            return super().noise(x, t, condition)
        return like(x, self._prepared(x, t, condition)(), self.beside)

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, dict[str, Sample]]:
        p, others = self.outputs(x, t, condition)
        alpha, sigma = (per_sample(a, x) for a in (self.sde.discrete_alpha(t), self.sde.discrete_sigma(t)))
        if self.predicts in ("noise", "score"):
            noise = p if self.predicts == "noise" else -sigma * p
            return (x - sigma * noise) / alpha, noise, others
        x0, _ = prediction.decode(self.predicts, self.sde, x, p, as_time(t, self.sde.t_max), self.sigma_data)
        return x0, (x - alpha * x0) / sigma, others

    def score(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        if self.predicts != "score":
            return super().score(x, t, condition)
        return like(x, self._prepared(x, t, condition)(), self.beside)

    def velocity(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        if self.predicts != "velocity":
            return super().velocity(x, t, condition)
        return like(x, self._prepared(x, t, condition)(), self.beside)

    def _prepared(self, x: Sample, t: ArrayLike, condition: Condition) -> Call:
        t = as_time(t, self.sde.t_max, x)
        if not self.defined_without_signal and is_concrete(t) and self._without_signal(t):
            raise ValueError(
                f"predicts = {self.predicts!r} cannot be used at t = {self.sde.t_max:g} of {type(self.sde).__name__}: "
                "alpha is 0 there and the posterior mean would be 0/0. Begin at t_max_sampling = "
                f'{self.sde.t_max_sampling:g}, or let the network predict "v" or "velocity"'
            )
        check_condition(condition, x)
        return self.call(x, jnp.broadcast_to(t, x.shape[:1]), condition)

    def _without_signal(self, t: Array) -> bool:
        """Whether α is 0 at some t, also on the chain; t may be a constant inside jit. False if the SDE is traced."""
        with jax.ensure_compile_time_eval():
            alpha = self.sde.discrete_alpha(t)
        return is_concrete(alpha) and bool(np.any(np.asarray(alpha) == 0))


@dataclasses.dataclass(frozen=True)
class FunctionDenoiser(PredictingDenoiser):
    """A denoiser from any ``function(x, t, condition)`` that returns the quantity ``predicts``; t is (batch,)."""

    function: Callable

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "function", as_tree(self.function, "function"))

    def call(self, x: Sample, t: Float[Array, "batch"], condition: Condition) -> Call:
        return functools.partial(self.function, x, t, condition)


@dataclasses.dataclass(frozen=True)
class NetworkDenoiser(PredictingDenoiser):
    """A denoiser from a network. ``noise_level(sde, t)``, (batch,), is the network's input for the time; the default
    is ``log_noise_level`` for "edm" and ``scaled_time`` for all other predictions.

    The network is a Flax NNX module, another callable pytree, or a plain function (which is then static). Parameters
    are the leaves, so ``jax.grad`` with respect to the denoiser is the gradient with respect to the parameters.
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

    def call(self, x: Sample, t: Float[Array, "batch"], condition: Condition) -> Call:
        level = noise_level_of(self.predicts, self.noise_level)(self.sde, t).astype(x.dtype)
        if self.predicts == "edm":
            x = x / per_sample(prediction.deviation(self.sde, t, self.sigma_data), x)  # c_in
        return functools.partial(self.network, x, level, condition, dropout_keys=self.dropout_keys)


def noise_level_of(
    predicts: Kind, noise_level: Callable[[SDE, Array], Array] | None = None
) -> Callable[[SDE, Array], Array]:
    """The function of a network's input for the time: the given one, or the default of the kind of prediction."""
    return noise_level or (log_noise_level if predicts == "edm" else scaled_time)


def like(x: Sample, output: Array, beside: tuple[str, ...] = ()) -> Sample:
    """The prediction, which is the first part of the output; a ValueError unless each part has the shape of x."""
    parts = 1 + len(beside)
    needed = (*x.shape[:-1], parts * x.shape[-1])
    require(
        jnp.shape(output) == needed,
        f"the network returned shape {jnp.shape(output)} for x of shape {x.shape}; needed: {needed}"
        + (f", the prediction and beside it {', '.join(beside)}" if beside else "")
        + ". What a network returns beside the prediction is named by the denoiser's field `beside`",
    )
    return output if parts == 1 else output[..., : x.shape[-1]]


def as_tree(function: Callable, name: str) -> Any:
    """A callable as a pytree: a plain function becomes one without leaves, a pytree is returned unchanged."""
    if not callable(function):
        raise TypeError(f"{name} = {function!r} cannot be called; give a function or a module")
    return jax.tree_util.Partial(function) if jax.tree_util.all_leaves([function]) else function


def check_condition(condition: Condition, x: Sample) -> None:
    """Raise a ValueError unless every leaf of the condition has the batch axis of x first."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(condition, is_leaf=_is_list_of_numbers):
        if isinstance(leaf, list):
            name = jax.tree_util.keystr(path)
            raise ValueError(f"condition{name} = {leaf!r} is a list; give an array, such as jnp.asarray({leaf!r})")
        name, shape = jax.tree_util.keystr(path), jnp.shape(leaf)
        require(
            shape[:1] == x.shape[:1],
            f"condition{name} has shape {shape}; its first axis must be the batch of x, {x.shape[:1]}",
        )


def _is_list_of_numbers(node: Any) -> bool:
    return isinstance(node, list) and all(isinstance(each, int | float) for each in node)
