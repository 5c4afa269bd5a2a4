"""Laws with known flow maps, and a map beside the true one, in whose direction losses are differentiated.

gaussian   N(m, diag v): X = α_s m + √(V_s/V_t) (x − α_t m), V = α² v + σ², in closed form
mixture    three Gaussians: by integration
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import score_sde as ss
from score_sde.checks import per_sample
from score_sde.flow_map import FlowMap
from score_sde.flow_map.base import pair_through

CENTRE, VARIANCES = np.array([0.5, -0.3]), np.array([0.8, 0.05])
MEANS = np.array([[-1.0, 0.6], [1.0, 0.2], [0.1, -1.0]])


class Truth(NamedTuple):
    """Draws (key, n), the exact denoiser and the exact map."""

    sample: Callable
    denoiser: ss.Denoiser
    map: FlowMap


def mixture(sde) -> Truth:
    law = ss.analytic.GaussianMixture(jnp.asarray(MEANS), jnp.full(3, 0.35), jnp.asarray([0.5, 0.3, 0.2]))
    denoiser = law.denoiser(sde)
    return Truth(law.sample, denoiser, ss.flow_map.integrated(denoiser, rtol=1e-9, atol=1e-9))


def gaussian(sde) -> Truth:
    law = ss.analytic.Gaussian(jnp.asarray(CENTRE), jnp.diag(jnp.asarray(VARIANCES)))
    denoiser = law.denoiser(sde)
    return Truth(law.sample, denoiser, OfGaussian(sde, denoiser))


@dataclasses.dataclass(frozen=True)
class OfGaussian(FlowMap):
    """The true map of ``gaussian``."""

    denoiser: ss.Denoiser

    def predict(self, x, t, s, condition=None):
        t, s = (jnp.broadcast_to(at, x.shape[:1]) for at in (t, s))
        still = t == s
        to = jnp.where(still, t / 2, s)
        (alpha_t, v_t), (alpha_s, v_s) = (self._moments(at, x) for at in (t, to))
        x_s = alpha_s * CENTRE + jnp.sqrt(v_s / v_t) * (x - alpha_t * CENTRE)
        further, here = pair_through(self.sde, x, t, x_s, to), self.denoiser.predict(x, t)
        return tuple(jnp.where(per_sample(still, x), a, b) for a, b in zip(here, further, strict=True))

    def _moments(self, t, x):
        alpha, sigma = per_sample(self.sde.alpha(t), x), per_sample(self.sde.sigma(t), x)
        return alpha, alpha**2 * VARIANCES + sigma**2


@dataclasses.dataclass(frozen=True)
class Beside(FlowMap):
    """The map + c times a function of (x, t, s): (x̂, ε̂) + c (−σ d, α d), d = sin(features of x + θ_t − 2 θ_s)."""

    map: FlowMap
    c: jax.Array

    def predict(self, x, t, s, condition=None):
        x0, noise = self.map.predict(x, t, s, condition)
        t, s = (jnp.broadcast_to(at, x.shape[:1]) for at in (t, s))
        angles = [jnp.arctan(jnp.exp(self.sde.log_snr(jnp.maximum(at, self.sde.t_min)) / 2)) for at in (t, s)]
        alpha, sigma = (per_sample(f(t), x) for f in (self.sde.alpha, self.sde.sigma))
        features = jnp.stack([x[:, 0] - x[:, 1], x[:, 0] + 0.5 * x[:, 1]], 1) / jnp.sqrt(alpha**2 + sigma**2)
        d = jnp.sin(features + per_sample(angles[0], x) - 2 * per_sample(angles[1], x) + 0.3)
        return x0 - self.c * sigma * d, noise + self.c * alpha * d


def slopes(loss, truth, n, **options):
    """(the loss of n examples at the true map, its derivative in the direction of ``Beside``, for each example)."""
    x0, keys = truth.sample(jax.random.key(0), n), jax.random.split(jax.random.key(1), n)

    def at(c):
        return loss(Beside(truth.map.sde, truth.map, per_sample(c, x0)), x0, keys, **options)

    def both(c):
        value, pull = jax.vjp(at, c)  # an example depends on its own c alone
        return value, pull(jnp.ones(n))[0]

    return jax.jit(both)(jnp.zeros(n))


def z_of(values):
    """The mean in standard errors."""
    values = np.asarray(values)
    return values.mean() / (values.std(ddof=1) / np.sqrt(len(values)))
