"""Closed forms in NumPy float64, and the mixtures that the tests of guidance use: a good one, and a blurred bad one."""

import jax
import jax.numpy as jnp
import numpy as np

import score_sde as ss
from score_sde.guidance import NoisyClassifier

MEANS = np.array([[1.0, 0.5], [-1.0, 0.3], [0.2, -1.2]])
STDS, WEIGHTS = np.array([0.3, 0.2, 0.4]), np.array([0.3, 0.3, 0.4])
BAD_MEANS, BAD_STDS = 0.8 * MEANS + 0.1, STDS + 0.2
GOOD = ss.analytic.GaussianMixture(MEANS, STDS, WEIGHTS)
BAD = ss.analytic.GaussianMixture(BAD_MEANS, BAD_STDS, WEIGHTS)
NULL = {"label": -1}  # these exact denoisers take a negative label for none


class Exact(NoisyClassifier):
    """p(y | x_t) of the good mixture, by Bayes."""

    def logits(self, x, t, condition=None):
        every = [GOOD.log_prob(x, sde=self.sde, t=t, condition={"label": jnp.full(len(x), k)}) for k in range(3)]
        return jnp.stack(every, axis=1) + jnp.log(WEIGHTS)


def posterior(alpha, sigma, x, label=None, means=MEANS, stds=STDS):
    """(x̂, ε̂) of each row of x, in float64: of component label_i, or of the whole mixture where it is negative or None."""
    alpha, sigma, x = (np.asarray(a, np.float64) for a in (alpha, sigma, x))
    label = np.full(len(x), -1) if label is None else np.asarray(label)
    deviation = x[:, None] - alpha[:, None, None] * means
    variance = alpha[:, None] ** 2 * stds**2 + sigma[:, None] ** 2
    logs = np.log(WEIGHTS) - (deviation**2).sum(2) / (2 * variance) - means.shape[1] / 2 * np.log(variance)
    logs = np.where((label[:, None] < 0) | (label[:, None] == np.arange(len(means))), logs, -np.inf)
    r = np.exp(logs - logs.max(1, keepdims=True))
    r /= r.sum(1, keepdims=True)
    mean = means + (alpha[:, None] * stds**2 / variance)[..., None] * deviation
    return np.einsum("bk,bkd->bd", r, mean), np.einsum("bk,bkd->bd", r * sigma[:, None] / variance, deviation)


def rows(sde, n=48):
    """Times over the whole range, and states x_t of the good mixture there, with labels and a scale for each."""
    times = np.geomspace(max(sde.t_min_sampling, 1e-3 * sde.t_max), 0.99 * sde.t_max, n)
    t = jnp.asarray(np.random.default_rng(0).permutation(times), jnp.float32)
    x0 = GOOD.sample(jax.random.key(0), n)
    x = sde.perturb(x0, t, jax.random.normal(jax.random.key(1), x0.shape))
    return x, t, jnp.arange(n) % 3, jnp.linspace(0.0, 4.0, n)


def close(found, wanted, tolerance=1e-5):
    """Equal within the tolerance of the larger of 1 and each value."""
    error = np.abs(np.asarray(found, np.float64) - wanted) / np.maximum(np.abs(wanted), 1)
    assert error.max() <= tolerance, (error.max(), np.unravel_index(error.argmax(), error.shape))
