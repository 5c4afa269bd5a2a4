"""Classifier-free guidance (Ho & Salimans 2021): extrapolation from the unconditional to the conditional model.

    ε̂ = ε̂(x_t, ∅) + w (ε̂(x_t, y) − ε̂(x_t, ∅))

w = 0 is the unconditional model, w = 1 the conditional one; w > 1 sharpens. The guided score is that of
p_t(x) (p_t(x | y)/p_t(x))^w at each t separately. For w > 1 these are not the marginals of one process, so different
samplers need not agree. Guidance in a limited interval of noise levels, with w = 1 outside it, preserves more
diversity (Kynkäänniemi et al. 2024).
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Sample, as_time, per_sample, require
from score_sde.conditions import Condition, check_null
from score_sde.denoiser import Cost, Denoiser, Wrapper


@dataclasses.dataclass(frozen=True)
class ClassifierFree(Wrapper):
    """A guided denoiser, made by ``classifier_free``; both evaluations are one call of twice the batch."""

    scale: ArrayLike
    null: Mapping[str, ArrayLike]
    interval: tuple[float, float] | None = dataclasses.field(default=None, metadata={"static": True})

    @property
    def cost(self) -> Cost:
        return self.model.cost + self.model.cost

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self._guided(self.model.predict, x, t, condition)

    def noise_on_chain(self, x: Sample, t: ArrayLike, condition: Condition = None) -> Sample:
        return self._guided(self.model.noise_on_chain, x, t, condition)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "ClassifierFree":
        return dataclasses.replace(self, model=self.model.with_dropout(jnp.concatenate([keys, keys])))

    def _guided(self, evaluate: Callable, x: Sample, t: ArrayLike, condition: Condition):
        times = jnp.broadcast_to(as_time(t, self.sde.t_max, x), x.shape[:1])
        both = twice(condition, self.null)
        out = evaluate(jnp.concatenate([x, x]), jnp.concatenate([times, times]), both)
        w, n = per_sample(self._scale_at(times), x), len(x)
        return jax.tree.map(lambda a: a[n:] + w * (a[:n] - a[n:]), out)

    def _scale_at(self, t: jax.Array) -> jax.Array:
        scale = jnp.broadcast_to(jnp.asarray(self.scale, float), t.shape)
        if self.interval is None:
            return scale
        low, high = self.interval
        ratio = self.sde.sigma(t) / self.sde.alpha(t)
        return jnp.where((low < ratio) & (ratio <= high), scale, 1.0)


def twice(condition: Condition, null: Mapping[str, ArrayLike]) -> Condition:
    """The condition, concatenated along the batch with a copy whose leaves in ``null`` have their null values.

    Guidance does not affect leaves that are not in ``null``; they are the same in both halves.
    """
    require(isinstance(condition, Mapping), 'a guided model needs a condition, such as condition={"label": labels}')
    missing = [name for name in null if name not in condition]
    require(
        not missing,
        f"null names the leaves {', '.join(map(repr, missing))}, which the condition lacks; it has "
        f"{', '.join(map(repr, condition))}",
    )
    for name, empty in null.items():
        check_null(jnp.asarray(condition[name]), empty, name)
    nothing = {name: jnp.full_like(leaf, null[name]) if name in null else leaf for name, leaf in condition.items()}
    return jax.tree.map(lambda *halves: jnp.concatenate(halves), dict(condition), nothing)


def classifier_free(
    model: Denoiser,
    scale: ArrayLike,
    *,
    null: Mapping[str, ArrayLike],
    interval: tuple[float, float] | None = None,
) -> ClassifierFree:
    """The model guided with scale w. ``null`` gives the value that means "no condition" for each leaf that guidance
    uses, such as ``{"label": num_classes}``; other leaves of the condition are kept in both evaluations.
    ``interval``: the range (low, high] of σ/α where w applies.
    """
    require(bool(null), 'null = {} names no leaf; give the value that stands for "not told", such as {"label": 10}')
    if interval is not None:
        low, high = interval
        require(0 <= low < high, f"interval = {interval}; it must be (low, high) with 0 <= low < high, in σ/α")
    return ClassifierFree(model.sde, model, scale, null, interval)
