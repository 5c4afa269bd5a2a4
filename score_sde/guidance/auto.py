"""Autoguidance (Karras et al. 2024, eq. 5): extrapolation from a bad model to a good one, at equal conditions.

    ε̂ = ε̂_bad + w (ε̂_good − ε̂_bad)          x̂ = x̂_bad + w (x̂_good − x̂_bad)

The bad model is smaller or trained for a shorter time, on the same task. Its errors are those of the good model, but
larger, so w > 1 leads away from both. Unlike classifier-free guidance it needs no condition and pulls to no class. w = 1
is the good model, which is also used outside the interval, w = 0 the bad one.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Cost, Denoiser, Wrapper
from score_sde.guidance.agree import check_sde
from score_sde.guidance.scale import Interval, Scale, as_scale, check_interval, extrapolated, scale_at


@dataclasses.dataclass(frozen=True)
class AutoGuided(Wrapper):
    """A guided denoiser, made by ``auto``; ``model`` is the good one."""

    bad: Denoiser
    scale: Scale
    leaves: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    interval: Interval = dataclasses.field(default=None, metadata={"static": True})

    @property
    def cost(self) -> Cost:
        return self.model.cost + self.bad.cost

    @property
    def defined_without_signal(self) -> bool:
        return self.model.defined_without_signal and self.bad.defined_without_signal

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        bad = self.bad.predict(x, t, self._told(condition))
        return self._guided(self.model.predict(x, t, condition), bad, x, t)

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        bad = self.bad.on_chain(x, t, self._told(condition))
        return self._guided(self.model.on_chain(x, t, condition), bad, x, t)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "AutoGuided":
        return dataclasses.replace(self, model=self.model.with_dropout(keys), bad=self.bad.with_dropout(keys))

    def _guided(self, good, bad, x: Sample, t: ArrayLike):
        return extrapolated(bad, good, scale_at(self.scale, self.interval, self.sde, t, x, outside=1.0))

    def _told(self, condition: Condition) -> Condition:
        """The condition of the bad model."""
        if self.leaves is None or not self.leaves:
            return condition if self.leaves is None else None
        there = condition if isinstance(condition, Mapping) else {}
        missing = [name for name in self.leaves if name not in there]
        require(
            not missing,
            f"leaves = {self.leaves}: the bad model is told {', '.join(map(repr, missing))}, which the condition lacks; it "
            f"has {', '.join(map(repr, there)) or 'no leaves'}",
        )
        return {name: there[name] for name in self.leaves}


def auto(
    good: Denoiser,
    bad: Denoiser,
    scale: Scale,
    *,
    leaves: Sequence[str] | None = None,
    interval: Interval = None,
) -> AutoGuided:
    """The good model, guided away from the bad one with scale w (see ``guidance.scale``). Both have the same SDE.

    ``leaves``: those of the condition that the bad model is told, () for an unconditional one; None: all.
    ``interval``: the range (low, high] of σ/α where w applies.
    """
    check_sde(good.sde, bad.sde, "the bad model")
    check_interval(interval)
    scale = as_scale(scale, lowest=0.0, below="w = 0 is the bad model, w = 1 the good one, w > 1 guides")
    return AutoGuided(good.sde, good, bad, scale, None if leaves is None else tuple(leaves), interval)
