"""Densities that need no network, each (images, ) of bits per dimension on held-out digits, in NumPy and a little JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import logsumexp

import score_sde as ss


def histogram(train: np.ndarray, test: np.ndarray, levels: int) -> np.ndarray:
    """Every pixel by itself: counts of its levels, plus one half each (Krichevsky & Trofimov 1981)."""
    d_train, d_test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    counts = (d_train[:, :, None] == np.arange(levels)).sum(axis=0) + 0.5
    log_p = np.log2(counts / counts.sum(axis=1, keepdims=True))
    return -log_p[np.arange(d_test.shape[1]), d_test].mean(axis=1)


def gaussian(train: np.ndarray, test: np.ndarray, scaling: ss.data.DataScaling, repeats: int) -> np.ndarray:
    """N(mean, covariance) of the dequantised images."""
    draws = np.concatenate([dequantised(train, scaling, seed) for seed in range(repeats)])
    mean, covariance = draws.mean(axis=0), np.cov(draws.T)
    _, log_det = np.linalg.slogdet(covariance)
    inverse = np.linalg.inv(covariance)

    def log_prob(x: np.ndarray) -> np.ndarray:
        d = x - mean
        return -0.5 * (np.einsum("ni,ij,nj->n", d, inverse, d) + log_det + d.shape[1] * np.log(2 * np.pi))

    return mean_bits(log_prob, test, scaling, repeats)


def kernel_density(train: np.ndarray, test: np.ndarray, scaling: ss.data.DataScaling, repeats: int) -> np.ndarray:
    """A Gaussian kernel on every dequantised training image; of several widths the best on a fifth left out."""

    def density(centres: np.ndarray, width: float):
        def log_prob(x: np.ndarray) -> np.ndarray:
            squared = (x**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * x @ centres.T
            kernel = -squared / (2 * width**2) - x.shape[1] * np.log(width * np.sqrt(2 * np.pi))
            return logsumexp(kernel, axis=1) - np.log(len(centres))

        return log_prob

    held = np.arange(len(train)) % 5 == 0
    centres = dequantised(train[~held], scaling, 0)
    widths = np.geomspace(0.05, 0.5, 24)
    scores = [mean_bits(density(centres, w), train[held], scaling, 1).mean() for w in widths]
    everything = dequantised(train, scaling, 0)
    return mean_bits(density(everything, widths[int(np.argmin(scores))]), test, scaling, repeats)


def autoregressive(train: np.ndarray, test: np.ndarray, levels: int) -> np.ndarray:
    """Every pixel by a multinomial logistic regression on those before it (64 of them, 17 classes, at most 63 inputs).

    The L2 penalty is the best on a fifth left out; the fit is then repeated on everything.
    """
    dimensions = train[0].size
    before = jnp.tril(jnp.ones((dimensions, dimensions)), -1)

    def log_prob(parameters: dict, d: jnp.ndarray) -> jnp.ndarray:
        x = d / (levels - 1) - 0.5
        logits = jnp.einsum("ni,jki->njk", x, parameters["w"] * before[:, None]) + parameters["b"]
        return jnp.take_along_axis(jax.nn.log_softmax(logits), d[:, :, None], axis=2)[..., 0].sum(axis=1)

    @jax.jit
    def fit(d: jnp.ndarray, penalty: float) -> dict:
        parameters = {"w": jnp.zeros((dimensions, levels, dimensions)), "b": jnp.zeros((dimensions, levels))}
        optimiser = optax.adam(optax.cosine_decay_schedule(0.05, 400))

        def loss(parameters: dict) -> jnp.ndarray:
            return -log_prob(parameters, d).mean() + penalty * (parameters["w"] ** 2).sum() / 2

        def step(carry, _):
            parameters, state = carry
            updates, state = optimiser.update(jax.grad(loss)(parameters), state)
            return (optax.apply_updates(parameters, updates), state), None

        return jax.lax.scan(step, (parameters, optimiser.init(parameters)), None, length=400)[0][0]

    flat_train, flat_test = (jnp.asarray(d.reshape(len(d), -1), int) for d in (train, test))
    held = np.arange(len(train)) % 5 == 0
    penalties = [3e-4, 1e-3, 2e-3, 4e-3, 1e-2]
    scores = [-log_prob(fit(flat_train[~held], p), flat_train[held]).mean() for p in penalties]
    best = penalties[int(np.argmin(scores))]
    return np.asarray(-log_prob(fit(flat_train, best), flat_test)) / dimensions / np.log(2)


def dequantised(images: np.ndarray, scaling: ss.data.DataScaling, seed: int) -> np.ndarray:
    u = np.random.default_rng(seed).uniform(size=images.shape)
    return np.asarray(scaling.range[0] + scaling.cell * (images + u)).reshape(len(images), -1)


def mean_bits(log_prob, images: np.ndarray, scaling: ss.data.DataScaling, repeats: int) -> np.ndarray:
    """The mean over dequantisations, one value for each image."""
    log_p = np.mean([log_prob(dequantised(images, scaling, 100 + r)) for r in range(repeats)], axis=0)
    return np.asarray(ss.bits_per_dim(jnp.asarray(log_p), images.shape[1:], scaling))
