"""Sums of guidances of one model: each adds what it changes.

    ε̂ = ε̂_0 + Σ_k w_k (ε̂_k − ε̂_0)          the score of p_t(x) Π_k (p_k,t(x)/p_t(x))^{w_k} at each t

With ε̂_k told one condition each and ε̂_0 none, this is the product of conditions of Liu et al. 2022 ("Compositional
visual generation", eq. 11), for conditions that are independent given x:

    plain = told(model, {"colour": 4, "shape": 5})
    sum_of(plain, (2.0, told(model, {"shape": 5})), (3.0, told(model, {"colour": 4})))
"""

import dataclasses
from collections.abc import Mapping

from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Cost, Denoiser, Wrapper
from score_sde.guidance.agree import check_sde
from score_sde.guidance.scale import Scale, as_scale, scale_at


@dataclasses.dataclass(frozen=True)
class Sum(Wrapper):
    """A guided denoiser, made by ``sum_of``."""

    scales: tuple[Scale, ...]
    terms: tuple[Denoiser, ...]

    @property
    def cost(self) -> Cost:
        return sum((term.cost for term in self.terms), self.model.cost)

    @property
    def defined_without_signal(self) -> bool:
        return all(each.defined_without_signal for each in (self.model, *self.terms))

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        every = [term.predict(x, t, condition) for term in self.terms]
        return self._sum(self.model.predict(x, t, condition), every, x, t)

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        every = [term.on_chain(x, t, condition) for term in self.terms]
        return self._sum(self.model.on_chain(x, t, condition), every, x, t)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "Sum":
        model, *terms = (each.with_dropout(keys) for each in (self.model, *self.terms))
        return dataclasses.replace(self, model=model, terms=tuple(terms))

    def _sum(self, base, every: list, x: Sample, t: ArrayLike):
        scales = [scale_at(scale, None, self.sde, t, x, outside=0.0) for scale in self.scales]
        x0, noise, *outputs = base

        def total(a: Sample, others: list[Sample]) -> Sample:
            return sum((w * (b - a) for w, b in zip(scales, others, strict=True)), a)

        return (total(x0, [term[0] for term in every]), total(noise, [term[1] for term in every]), *outputs)


def sum_of(base: Denoiser, *terms: tuple[Scale, Denoiser]) -> Sum:
    """The base model, and w times what each guided denoiser changes in it, for each (w, guided) in ``terms``.

    All are told the same condition. Every term pays its own evaluations, also of the base model inside it.
    """
    require(len(terms) >= 1, "sum_of has no terms; give (w, guided denoiser) pairs after the model")
    for k, (_, guided) in enumerate(terms):
        check_sde(base.sde, guided.sde, f"term {k}")
    return Sum(base.sde, base, tuple(as_scale(w) for w, _ in terms), tuple(guided for _, guided in terms))
