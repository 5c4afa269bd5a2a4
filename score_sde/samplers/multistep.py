"""Exponential multistep solvers of any order: DPM-Solver++ 1M, 2M, 3M and beyond, their SDE form, and UniPC.

The step from ℓ_i to ℓ_{i+1} integrates the polynomial through the last p predictions; see ``exponential.py``. It needs
p − 1 earlier points. A start-up that preserves the order provides them: the polynomial through the known predictions
gives the next point, and each new point raises the degree of the polynomial, with which the earlier points are redone:

    evaluate x̂_0;   x_1 from {x̂_0}: evaluate x̂_1;   x_1, x_2 from {x̂_0, x̂_1}: evaluate both;
    x_1, x_2, x_3 from {x̂_0, x̂_1, x̂_2}: evaluate all three; …

until x̂_0 … x̂_{p−2} are known with error O(h^{p−1}). This costs (p − 2)(p − 3)/2 evaluations more than the steps it
covers: none for p <= 3, one for p = 4. Then x_{p−2} = ∫ of the polynomial through all of them has error O(h^p).

UniPC (Zhao et al. 2023) also uses x̂_{i+1}, once evaluated, to correct x_{i+1} with the polynomial through p + 1
points: one order more at no cost. Here its predictor and its corrector both have the exact weights.

Every variant is a list of rows. Each row evaluates the model once and forms two linear combinations:

    memory[slot] = x̂(x, t);   base ← c base + e x + u · memory;   x ← d base + w · memory + noise_std z.
"""

import dataclasses
from enum import IntEnum
from typing import Literal, NamedTuple, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from score_sde.checks import per_sample, require
from score_sde.denoiser import Denoiser
from score_sde.samplers.exponential import AnyArray, polynomial_weights, published_weights
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.options import Options
from score_sde.samplers.predictors import check_stochasticity
from score_sde.samplers.samples import Samples

MAX_ORDER = 6


class Base(IntEnum):
    """How a row updates the base."""

    MOVE = 0  # base ← x
    KEEP = 1  # base ← base: its span is empty, so that c = 1 and u = 0
    COMBINE = 2  # base ← c base + u · memory, over its span


class Span(NamedTuple):
    """One linear combination: from the point ``start`` to ``end``, by the polynomial through ``nodes`` predictions,
    the last of which is ``newest``. A span without nodes and length has no effect.
    """

    start: int = 0
    end: int = 0
    newest: int = 0
    nodes: int = 0


class Row(NamedTuple):
    """Evaluate at point ``node``, then update the base, then x."""

    node: int
    base: Base
    base_span: Span
    x_span: Span


@dataclasses.dataclass(frozen=True)
class Multistep(Method):
    """``order`` p: the points of the predictor's polynomial. The corrector, with ``correct``, uses one more."""

    order: int
    form: Literal["data", "noise"] = "data"
    stochasticity: int | float = 0.0
    coefficients: Literal["exact", "published"] = "exact"
    correct: bool = False
    lower_order_final: bool = False

    @property
    def draws(self) -> int:
        return int(self.stochasticity > 0)

    def plan(self, sde, times):
        """α, σ and ℓ at the times of the grid; ``rows`` makes the coefficients of them."""
        return {"alpha": sde.alpha(times), "sigma": sde.sigma(times), "l": sde.log_snr(times) / 2}

    def rows(self, sde, times):
        known = super().rows(sde, times)
        alpha, sigma, l = known["alpha"], known["sigma"], known["l"]
        xp = l.__array_namespace__()  # NumPy if the grid is concrete: nothing to compile
        # The factor of x, and that of the integral; see exponential.py.
        own, other = (sigma, alpha) if self.form == "data" else (alpha, sigma)
        tau2 = self.stochasticity**2
        rate = 1 + tau2 if self.form == "data" else -1.0
        size = self.order + self.correct

        def combine(spans: np.ndarray) -> tuple[AnyArray, AnyArray]:
            """x_end = factor x_start + weights · memory, for spans (rows, 4) of (start, end, newest node, nodes)."""
            start, end, newest, count = spans.T
            weights = xp.zeros((len(spans), size), l.dtype)
            for q in range(1, size + 1):
                here = np.flatnonzero(count == q)
                nodes = newest[here, None] - np.arange(q)
                ends = l[nodes], l[start[here]], l[end[here]]
                exact = self.coefficients == "exact"
                w = polynomial_weights(*ends, rate) if exact else published_weights(*ends)
                weights = put(weights, (here[:, None], nodes % size), other[end[here], None] * w)
            return own[end] / own[start] * xp.exp(-tau2 * (l[end] - l[start])), weights

        node, base, base_span, x_span = map(np.asarray, zip(*self.schedule(len(times) - 1), strict=True))
        c, u = combine(base_span)
        d, w = combine(x_span)
        start, end = x_span[:, 0], x_span[:, 1]
        return {
            "t": times[node],
            "s": times[end],
            "step": node,
            "slot": node % size,
            "c": xp.where(base == Base.MOVE, 0.0, c),
            "e": xp.where(base == Base.MOVE, 1.0, 0.0),
            "u": u,
            "d": d,
            "w": w,
            "noise_std": sigma[end] * xp.sqrt(-xp.expm1(-2 * tau2 * (l[end] - l[start]))),
        }

    def schedule(self, steps: int) -> list[Row]:
        """The rows of the start-up, if it preserves the order, then one row per step."""
        order = min(self.order, steps)
        points = order + self.correct  # of the polynomial that determines the order
        rows: list[Row] = []
        first = 0
        if points > 2 and self.keeps_order:
            evaluated = [(j, k) for k in range(points - 2) for j in range(1, k + 2)]  # x_j from x̂_0 … x̂_k
            node = 0
            for j, k in evaluated:
                rows.append(Row(node, Base.KEEP, Span(), Span(0, j, k, k + 1)))
                node = j
            first = points - 1
            so_far, onwards = Span(0, node, node, points - 1), Span(node, first, node, points - 1)
            rows.append(Row(node, Base.COMBINE, so_far, onwards))
        for i in range(first, steps):
            count = min(i + 1, order, steps - i) if self.lower_order_final else min(i + 1, order)
            step = Span(i, i + 1, i, count)
            if self.correct and i > 0:
                rows.append(Row(i, Base.COMBINE, Span(i - 1, i, i, min(i + 1, points)), step))
            else:
                rows.append(Row(i, Base.MOVE, Span(), step))
        return rows

    @property
    def keeps_order(self) -> bool:
        """Whether the start-up preserves the order; the published and the stochastic schemes begin with low orders."""
        return self.coefficients == "exact" and self.stochasticity == 0

    def begin(self, x):
        return x, jnp.zeros((self.order + self.correct, *x.shape), x.dtype)

    def step(self, model, x, row, noise, memory, condition):
        base, known = memory
        x0, eps = model.predict(x, row["t"], condition)
        known = known.at[row["slot"]].set(x0 if self.form == "data" else eps)
        base = per_sample(row["c"], x) * base + per_sample(row["e"], x) * x + jnp.tensordot(row["u"], known, 1)
        mean = per_sample(row["d"], x) * base + jnp.tensordot(row["w"], known, 1)
        x = mean + per_sample(row["noise_std"], x) * noise[0] if self.draws else mean
        return Step(x, mean, x0, (base, known))


def put(a: AnyArray, index: tuple, values: AnyArray) -> AnyArray:
    """``a`` with these values at this index."""
    if not isinstance(a, np.ndarray):
        return a.at[index].set(values)
    a[index] = values
    return a


def dpm_solver(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    steps: int = 20,
    order: int = 3,
    form: Literal["data", "noise"] | None = None,
    stochasticity: int | float = 0.0,
    coefficients: Literal["exact", "published"] = "exact",
    lower_order_final: bool = False,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples with the exponential multistep solver of this order (DPM-Solver++ if form is "data").

    The default form is "data" up to order 2, for the SDE and for the published coefficients, otherwise "noise": on
    exact mixtures order 3 is then 2 to 6 times closer at 10 evaluations (experiments/solver_frontier), and order 4
    shows its slope from 100 steps on (3.9 to 4.3; in data form 3.5 to 4.0 over 100 to 800 steps). With strong
    guidance the data form is more stable (Lu et al. 2022b).

    One evaluation per step, (p − 2)(p − 3)/2 for the start-up of p > 3, and one for the final denoising. order 2 with
    stochasticity 1 solves the reverse SDE ("2M SDE"). coefficients="published" are those of the DPM-Solver++ paper,
    whose 3M has only second order. lower_order_final ends with orders …, 2, 1.
    """
    require(
        isinstance(order, int) and 1 <= order <= MAX_ORDER,
        f"order = {order!r}; allowed: 1, 2, … {MAX_ORDER}",
    )
    plain = order <= 2 or stochasticity > 0 or coefficients == "published"
    form = form or ("data" if plain else "noise")
    require(form in ("data", "noise"), f'form = {form!r}; allowed: "data", "noise"')
    check_stochasticity(stochasticity)
    require(stochasticity == 0 or form == "data", 'stochasticity > 0 needs form="data"')
    require(coefficients in ("exact", "published"), f'coefficients = {coefficients!r}; allowed: "exact", "published"')
    require(
        coefficients == "exact" or (order <= 3 and form == "data" and stochasticity == 0),
        'coefficients="published" exist for order <= 3, form="data" and stochasticity=0',
    )
    method = Multistep(order, form, float(stochasticity), coefficients, False, lower_order_final)
    return solve(method, model, key, n, shape, steps, **options)


def unipc(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    steps: int = 20,
    order: int = 3,
    form: Literal["data", "noise"] = "data",
    lower_order_final: bool = False,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples with UniPC: a predictor of this order, and a corrector that adds one order to each step.

    One evaluation per step, (p − 1)(p − 2)/2 for the start-up of order p > 2, and one for the final denoising.
    """
    require(
        isinstance(order, int) and 1 <= order < MAX_ORDER,
        f"order = {order!r}; allowed: whole numbers 1 to {MAX_ORDER - 1}, the predictor's (the corrector has one more)",
    )
    require(form in ("data", "noise"), f'form = {form!r}; allowed: "data", "noise"')
    method = Multistep(order, form, correct=True, lower_order_final=lower_order_final)
    return solve(method, model, key, n, shape, steps, **options)
