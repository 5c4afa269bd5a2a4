"""Classifier guidance (Song et al. 2021, section 5; Dhariwal & Nichol 2021): the score of a tilted density.

    ∇ log p_t(x) + w ∇ log p_t(y | x)        x̂ + w (σ²/α) ∇ log p_t(y | x),   ε̂ − w σ ∇ log p_t(y | x)

The classifier must be trained on noisy data x_t (``tasks.Classifier``). With w = 1 and the true p_t(y | x) this is the
conditional score at every t; for other w see ``classifier_free``.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from score_sde import pytree
from score_sde.checks import Sample, as_time, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Cost, Denoiser, Wrapper, log_noise_level, prediction
from score_sde.guidance.agree import check_sde
from score_sde.guidance.scale import Interval, Scale, as_scale, check_interval, scale_at
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class NoisyClassifier:
    """log p(y | x_t) from a network(x, noise_level, condition, dropout_keys=) that returns logits (batch, classes).

    The network's input is x_t/√(σ² + α² σ_data²), which has unit variance under every SDE. For your own classifier,
    define ``logits`` in a subclass.
    """

    sde: SDE
    network: Any = None
    sigma_data: float = dataclasses.field(default=0.5, metadata={"static": True}, kw_only=True)
    noise_level: Callable[[SDE, Array], Array] = dataclasses.field(
        default=log_noise_level, metadata={"static": True}, kw_only=True
    )
    dropout_keys: Key[Array, "batch"] | None = dataclasses.field(default=None, kw_only=True)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        pytree.register(cls, static_unless_told=False)

    def __post_init__(self):
        require(self.sigma_data > 0, f"sigma_data = {self.sigma_data}; it must be positive")

    def logits(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Float[Array, "batch classes"]:
        """log p(y | x_t = x) for each y, up to a constant."""
        return self._applied(self.network, x, t, condition)

    def features(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Float[Array, "batch width"]:
        """What the network's last layer computes the logits from."""
        return self._applied(self.network.features, x, t, condition)

    def _applied(self, function: Callable[..., Array], x: Sample, t: ArrayLike, condition: Condition) -> Array:
        times = jnp.broadcast_to(as_time(t, self.sde.t_max, x), x.shape[:1])
        x = x / per_sample(prediction.deviation(self.sde, times, self.sigma_data), x)
        level = self.noise_level(self.sde, times).astype(x.dtype)
        return function(x, level, condition, dropout_keys=self.dropout_keys)

    def log_prob(
        self, x: Sample, t: ArrayLike, y: Int[Array, "batch"], condition: Condition = None
    ) -> Float[Array, "batch"]:
        """log p(y | x_t = x); NaN where y is not a class."""
        return log_prob_of(y, self.logits(x, t, condition))

    def with_dropout(self, keys: Key[Array, "batch"]) -> "NoisyClassifier":
        return dataclasses.replace(self, dropout_keys=keys)


pytree.register(NoisyClassifier, static_unless_told=False)


def log_prob_of(y: Int[Array, "batch"], logits: Float[Array, "batch classes"]) -> Float[Array, "batch"]:
    """The log-probability of each class y under the logits; NaN where y is not a class."""
    logs = jax.nn.log_softmax(logits)
    y = jnp.where(y < 0, logs.shape[1], y)
    return jnp.take_along_axis(logs, y[:, None], axis=1, mode="fill", fill_value=jnp.nan)[:, 0]


@dataclasses.dataclass(frozen=True)
class ClassifierGuided(Wrapper):
    """A guided denoiser, made by ``classifier``."""

    classifier: NoisyClassifier
    scale: Scale
    leaf: str = dataclasses.field(metadata={"static": True})
    keep: bool = dataclasses.field(metadata={"static": True})
    interval: Interval = dataclasses.field(default=None, metadata={"static": True})

    @property
    def cost(self) -> Cost:
        return self.model.cost + Cost(forward=1, pullbacks=1)

    @property
    def defined_without_signal(self) -> bool:
        return False  # σ²/α

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        y, rest = self._told(condition)
        x0, noise = self.model.predict(x, t, rest)
        alpha, sigma = (per_sample(a, x) for a in (self.sde.alpha(t), self.sde.sigma(t)))
        pull = self._pull(x, t, y, rest)
        return x0 + sigma**2 / alpha * pull, noise - sigma * pull

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        """The further output "pull" is w ∇ log p(y | x), for predictors that shift the mean of their step by it."""
        y, rest = self._told(condition)
        x0, noise, outputs = self.model.on_chain(x, t, rest)
        alpha, sigma = (per_sample(a, x) for a in (self.sde.discrete_alpha(t), self.sde.discrete_sigma(t)))
        pull = self._pull(x, t, y, rest)
        return x0 + sigma**2 / alpha * pull, noise - sigma * pull, {**outputs, "pull": pull}

    def _pull(self, x: Sample, t: ArrayLike, y: Array, condition: Condition) -> Sample:
        """The gradient w ∇ log p(y | x)."""
        gradient = jax.grad(lambda x: jnp.sum(self.classifier.log_prob(x, t, y, condition)))(x)
        return scale_at(self.scale, self.interval, self.sde, t, x, outside=0.0) * gradient

    def _told(self, condition: Condition) -> tuple[Array, Condition]:
        """(y, the condition of the model)."""
        there = ", ".join(map(repr, condition)) if isinstance(condition, Mapping) else condition
        require(
            isinstance(condition, Mapping) and self.leaf in condition,
            f"classifier guidance reads condition[{self.leaf!r}], the classes to guide to; the condition has {there}",
        )
        rest = {name: leaf for name, leaf in condition.items() if self.keep or name != self.leaf}
        return jnp.asarray(condition[self.leaf]), rest or None


def classifier(
    model: Denoiser,
    classifier: NoisyClassifier,
    scale: Scale = 1.0,
    *,
    leaf: str = "label",
    keep: bool = False,
    interval: Interval = None,
) -> ClassifierGuided:
    """The model, guided by a classifier with scale w (see ``guidance.scale``) to the classes ``condition[leaf]``.

    The model receives the other leaves. ``keep`` also passes this leaf, for a class-conditional model. ``interval``: the
    range (low, high] of σ/α where w applies; the model alone outside.
    """
    check_sde(model.sde, classifier.sde, "the classifier")
    check_interval(interval)
    return ClassifierGuided(model.sde, model, classifier, as_scale(scale), leaf, keep, interval)
