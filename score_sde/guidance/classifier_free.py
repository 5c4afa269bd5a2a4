"""Classifier-free guidance (Ho & Salimans 2021): away from what is likely without the condition.

    ε̂ = ε̂(x_t, ∅) + w (ε̂(x_t, y) − ε̂(x_t, ∅))

w = 0 is the unconditional model, w = 1 the conditional one; w > 1 sharpens. The guided score is that of
p_t(x) (p_t(x | y)/p_t(x))^w at each t alone: for w > 1 these are not the marginals of one process, so samplers of
different kinds need not agree. In a limited interval of noise levels guidance costs less variety
(Kynkäänniemi et al. 2024); outside of it w = 1.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from score_sde.checks import Sample, as_time, per_sample, require
from score_sde.denoiser import Condition, Denoiser


@dataclasses.dataclass(frozen=True)
class ClassifierFree(Denoiser):
    """A guided denoiser; ``classifier_free`` makes it. Both evaluations are one of twice the batch."""

    model: Denoiser
    scale: ArrayLike
    null: Condition
    interval: tuple[float, float] | None = dataclasses.field(default=None, metadata={"static": True})

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        if condition is None:
            raise ValueError('a guided model needs a condition, such as condition={"label": labels}')
        t = as_time(t, self.sde.t_max, x)
        times = jnp.broadcast_to(t, x.shape[:1])
        nothing = jax.tree.map(lambda leaf, empty: jnp.full_like(leaf, empty), condition, self.null)
        both = jax.tree.map(lambda *parts: jnp.concatenate(parts), condition, nothing)
        with_both = self.model.predict(jnp.concatenate([x, x]), jnp.concatenate([times, times]), both)
        w = per_sample(self._scale_at(times), x)
        n = len(x)
        x0, noise = (out[n:] + w * (out[:n] - out[n:]) for out in with_both)
        return x0, noise

    def _scale_at(self, t: jax.Array) -> jax.Array:
        scale = jnp.broadcast_to(jnp.asarray(self.scale, float), t.shape)
        if self.interval is None:
            return scale
        low, high = self.interval
        ratio = self.sde.sigma(t) / self.sde.alpha(t)
        return jnp.where((low < ratio) & (ratio <= high), scale, 1.0)


def classifier_free(
    model: Denoiser, scale: ArrayLike, *, null: Condition, interval: tuple[float, float] | None = None
) -> ClassifierFree:
    """The model guided with a scale w. ``null`` has the structure of the condition with one value for each leaf, the
    one that stands for "no condition": ``{"label": num_classes}``. ``interval``: (low, high] of σ/α where w holds.
    """
    if interval is not None:
        low, high = interval
        require(0 <= low < high, f"interval = {interval}; it must be (low, high) with 0 <= low < high, in σ/α")
    return ClassifierFree(model.sde, model, scale, null, interval)
