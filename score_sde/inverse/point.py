"""What posterior methods know at a state x_t: one forward pass, and the derivatives of the network and of A there."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from score_sde.checks import Sample, as_time, per_sample
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.inverse.likelihood import GaussianLikelihood

Product = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class Point:
    """What is known at x_t: α and σ, the product with C, the derivative of A at x̂ and its transpose, and Σ."""

    alpha: Float[Array, "batch"]
    sigma: Float[Array, "batch"]
    tweedie: Product
    A: Any
    push: Product
    pull: Product
    variance: Array

    def system(self, product: Product) -> Product:
        """w -> (A K Aᵀ + Σ) w."""
        return lambda w: self.push(product(self.pull(w))) + self.variance * w


def point_at(
    model: Denoiser, likelihood: GaussianLikelihood, x: Sample, t: ArrayLike, y: Array, condition: Condition
) -> tuple[Sample, Sample, Array, Point]:
    """(x̂, ε̂, r = y − A(x̂), the point), with A linearised at x̂."""
    times = jnp.broadcast_to(as_time(t, model.sde.t_max, x), x.shape[:1])
    alpha, sigma = (a(times).astype(x.dtype) for a in (model.sde.alpha, model.sde.sigma))
    x0, pullback, noise = jax.vjp(lambda x: model.predict(x, times, condition), x, has_aux=True)
    r = likelihood.residual(y, x0)
    _, push = jax.linearize(likelihood.A, x0)
    transposed = jax.linear_transpose(push, x0)
    at = Point(
        alpha,
        sigma,
        lambda v: per_sample(sigma**2 / alpha, x) * pullback(v)[0],
        likelihood.A,
        push,
        lambda w: transposed(w)[0],
        likelihood.variance(y),
    )
    return x0, noise, r, at
