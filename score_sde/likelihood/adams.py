"""Adams' method with variable steps: one evaluation per step, for vector fields that are costly and smooth.

With the slopes f_i = f(t_i, y_i) of the last k points and Newton's divided differences f[t_n, …, t_{n−j}]
(Hairer, Nørsett and Wanner 1993, "Solving Ordinary Differential Equations I", section III.5):

    predict    y* = y_n + Σ_{j<k} g_j f[t_n, …, t_{n−j}],          g_j = ∫ Π_{i<j} (t − t_{n−i}) dt  over the step
    evaluate   f_{n+1} = f(t_{n+1}, y*)
    correct    y_{n+1} = y* + g_k d,     d = f[t_{n+1}, t_n, …, t_{n−k+1}]

of order k + 1. Without its oldest point the corrector has order k, and differs by e d, e = ∫ (t − t_{n+1})
Π_{i<k−1} (t − t_{n−i}) dt: the error estimate. The method starts with k = 1; the order grows with the number of points.

A Runge-Kutta method of order 5 makes six evaluations per step. The network's variation in time, not the flow's, limits
the step size, so most of them do not reduce the error: here half as many evaluations reach the same error (measured in
``experiments/benchmarks/likelihood.py``).
"""

from typing import Any, ClassVar, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

ADDING_UP = 2.0
"""The factor on the error estimate: with one evaluation per step there are many steps, and their errors add up. On
exact mixtures the total error is then 2 to 9 times the tolerance (1 to 2 times with diffrax's Tsit5)."""


class Memory(NamedTuple):
    """The most recent points, newest first."""

    slopes: Any
    """A pytree like y with a leading axis k."""
    times: Float[Array, "k"]
    known: Int[Array, ""]
    """The number of valid points: k, but fewer at the start."""


class Adams(diffrax.AbstractAdaptiveSolver):
    """An ODE solver for ``diffrax.diffeqsolve``. ``points``: k above. Steps should grow at most by a factor of 2."""

    points: int = 4

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def order(self, terms: Any) -> int:
        """Order k + 1 once k points are known."""
        return self.points + 1

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Memory:
        """The first slope; the earlier points are placeholders and not used."""
        first = _slope(terms, t0, y0, args, t0, t1)
        slopes = jax.tree.map(lambda f: jnp.zeros((self.points, *f.shape), f.dtype).at[0].set(f), first)
        return Memory(slopes, t0 - (t1 - t0) * jnp.arange(self.points), jnp.ones((), int))

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: Memory, made_jump: Any):
        """One evaluation: predict, evaluate, correct."""
        slopes, times, known = solver_state
        h = t1 - t0
        predictor, corrector, error = _weights((times - t0) / _divisor(h), known)
        predicted = jax.tree.map(lambda y, f: y + h * _sum(predictor, f), y0, slopes)
        new = _slope(terms, t1, predicted, args, t0, t1)
        slopes = jax.tree.map(lambda f, f_old: jnp.concatenate([f[None], f_old]), new, slopes)
        y1 = jax.tree.map(lambda y, f: y + h * _sum(corrector, f), predicted, slopes)
        y_error = jax.tree.map(lambda f: ADDING_UP * h * _sum(error, f), slopes)
        memory = Memory(
            jax.tree.map(lambda f: f[:-1], slopes),
            jnp.concatenate([t1[None], times[:-1]]),
            jnp.minimum(known + 1, self.points),
        )
        return y1, y_error, {"y0": y0, "y1": y1}, memory, diffrax.RESULTS.successful

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        """The vector field."""
        return terms.vf(t0, y0, args)


def _slope(terms: Any, t: Any, y: Any, args: Any, t0: Any, t1: Any) -> Any:
    """dy/dt; diffrax reverses time in backward solves, and only the product with the control has this sign."""
    return terms.vf_prod(t, y, args, terms.contr(t0, t1) / _divisor(t1 - t0))


def _divisor(h: Float[Array, ""]) -> Float[Array, ""]:
    """h, or 1 where h = 0: a finished sample takes steps of 0, and its gradient must not divide by 0."""
    return jnp.where(h == 0, 1, h)


def _sum(weights: Float[Array, "k"], slopes: Float[Array, "k *shape"]) -> Float[Array, "*shape"]:
    return jnp.tensordot(weights.astype(slopes.dtype), slopes, axes=1, precision="highest")


def _weights(nodes: Float[Array, "k"], known: Int[Array, ""]) -> tuple[Array, Array, Array]:
    """The weights of the slopes in y* (k) and, with the new slope first (1 + k), in g_k d and e d.

    Time is in steps from t_n: ``nodes`` = 0, −1, … for equal steps, and the new point is 1.
    """
    nodes = jax.lax.stop_gradient(nodes)
    extended = jnp.concatenate([jnp.ones(1, nodes.dtype), nodes])
    g, e = _integrals(nodes), _integrals(extended)
    used = jnp.arange(len(nodes)) < known
    predictor = jnp.matmul(jnp.where(used, g[:-1], 0), _divided_differences(nodes), precision="highest")
    d = _divided_differences(extended)[known]
    return predictor, g[known] * d, e[known] * d


def _integrals(roots: Float[Array, "j"]) -> Float[Array, "j+1"]:
    """∫₀¹ Π_{i<m} (τ − root_i) dτ for m = 0 … j, by Gauss's rule, which is exact here."""
    points, weights = np.polynomial.legendre.leggauss(len(roots) // 2 + 1)
    tau = jnp.asarray((1 + points) / 2, roots.dtype)[:, None]
    products = jnp.cumprod(jnp.concatenate([jnp.ones_like(tau), tau - roots], axis=1), axis=1)
    return jnp.sum(jnp.asarray(weights / 2, roots.dtype)[:, None] * products, axis=0)


def _divided_differences(nodes: Float[Array, "j"]) -> Float[Array, "j j"]:
    """Row m: the weights 1/Π_{l≤m, l≠i} (τ_i − τ_l) of f_i in f[τ_0, …, τ_m]."""
    gaps = jnp.where(jnp.eye(len(nodes), dtype=bool), 1, nodes[:, None] - nodes)
    return jnp.tril(1 / jnp.cumprod(gaps, axis=1).T)
