"""Classifier-free guidance (Ho & Salimans 2021): extrapolation from the unconditional to the conditional model.

    ε̂ = ε̂(x_t, ∅) + w (ε̂(x_t, y) − ε̂(x_t, ∅))

w = 0 is the unconditional model, w = 1 the conditional one; w > 1 sharpens. The guided score is that of
p_t(x) (p_t(x | y)/p_t(x))^w at each t separately. For w > 1 these are not the marginals of one process, so different
samplers need not agree. Guidance in a limited interval of noise levels, with w = 1 outside it, preserves more
diversity (Kynkäänniemi et al. 2024). With a negative condition y⁻ in place of ∅ the guidance leads away from y⁻.
"""

import dataclasses
from collections.abc import Callable, Mapping

from jax.typing import ArrayLike

from score_sde.checks import Sample
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.guidance.scale import Interval, Scale, as_scale, check_interval, extrapolated, scale_at
from score_sde.guidance.told import Contrast, instead


@dataclasses.dataclass(frozen=True)
class ClassifierFree(Contrast):
    """A guided denoiser, made by ``classifier_free``."""

    def _guided(self, evaluate: Callable, x: Sample, t: ArrayLike, condition: Condition):
        told, other = self._both(evaluate, x, t, condition)
        return extrapolated(other, told, scale_at(self.scale, self.interval, self.sde, t, x, outside=1.0))


def classifier_free(
    model: Denoiser,
    scale: Scale,
    *,
    null: Mapping[str, ArrayLike] | None = None,
    negative: Mapping[str, ArrayLike | str] | None = None,
    interval: Interval = None,
) -> ClassifierFree:
    """The model guided with scale w (see ``guidance.scale``). ``null`` gives the value that means "no condition" for each
    leaf that guidance uses, such as ``{"label": num_classes}``; other leaves of the condition are kept in both evaluations.

    ``negative``: for some leaves, what to guide away from instead: a value (``{"label": 3}``), or the name of a leaf of the
    condition that holds one for each sample: with ``{"label": "not"}``, condition={"label": y, "not": z}.
    ``interval``: the range (low, high] of σ/α where w applies.
    """
    values, names = instead(null, negative)
    check_interval(interval)
    return ClassifierFree(model.sde, model, as_scale(scale), values, interval, names)
