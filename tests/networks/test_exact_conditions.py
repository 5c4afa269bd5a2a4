"""Images, tokens and words as conditions learn an exact conditional mixture.

x is a mixture on 4 x 4 pixels, y = A x + n some of its pixels. With ε̂* the exact ε̂ given x_t and y and ε̂ᵤ that given x_t
alone, the excess of a network's loss relative to that of knowing nothing is

    (L − L*)/(Lᵤ − L*) = E‖ε̂ − ε̂*‖²/E‖ε̂ᵤ − ε̂*‖².
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import score_sde as ss
from score_sde.networks import Concatenation, ControlNet, ImageTokens, LoRA, NCSNpp, adapted

SDE = ss.VP()
SIZE, SEEN, NOISE = (4, 4, 1), (1, 4, 6, 11, 13, 14), 0.1
NETWORK = {"nf": 16, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (2,), "dropout": 0.0, "fir": False,
           "progressive_input": "none", "embedding_type": "fourier_raw", "fourier_scale": 1.0}  # fmt: skip
TOKENS = {"text_features": len(SEEN) + 1, "text_length": 2, "text_width": 32}


@functools.cache
def joint():
    """(the mixture, the joint law with y)."""
    random = np.random.default_rng(0)
    truth = ss.analytic.GaussianMixture(0.8 * random.normal(size=(12, *SIZE)), np.full(12, 0.25), np.ones(12) / 12)
    return truth, truth.given(np.eye(16)[list(SEEN)], NOISE)


def conditions(y):
    """y as an image, as a vector, and as tokens: one that says nothing, and y beside a 1."""
    image = jnp.zeros((len(y), 16)).at[:, jnp.array(SEEN)].set(y).reshape(-1, *SIZE)
    where = jnp.zeros((len(y), 16)).at[:, jnp.array(SEEN)].set(1.0).reshape(-1, *SIZE)
    one = jnp.concatenate([y, jnp.ones((len(y), 1))], axis=1)
    text = jnp.stack([jnp.zeros_like(one).at[:, -1].set(1.0), one], axis=1)
    return {
        "y": jnp.concatenate([image, where], axis=-1),
        "control": jnp.concatenate([image, where], axis=-1),
        "image": y,
        "text": text,
    }


def silent(condition):
    """Without y where it would be told in tokens."""
    return condition | {"text": condition["text"].at[:, 1].set(condition["text"][:, 0])}


def trained(whole, start, told, steps=2500, batch=128, rate=4e-3):
    """The trained part, by the usual loss; ``whole`` makes a network of it, ``told`` the condition that it is told."""
    graph, params, rest = nnx.split(start, nnx.Param, ...)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, steps)))
    law = joint()[1]

    def loss(params, key):
        of_x, of_t, of_noise = jax.random.split(key, 3)
        x0, y = law.sample(of_x, batch)
        t = SDE.t_min + (SDE.t_max - SDE.t_min) * (jnp.arange(batch) + jax.random.uniform(of_t)) / batch
        noise = jax.random.normal(of_noise, x0.shape)
        model = denoiser(whole(nnx.merge(graph, params, rest)))
        return jnp.mean((model.noise(SDE.perturb(x0, t, noise), t, told(conditions(y))) - noise) ** 2)

    def step(carry, key):
        params, moments = carry
        updates, moments = optimizer.update(jax.grad(loss)(params, key), moments, params)
        return (optax.apply_updates(params, updates), moments), None

    @jax.jit
    def several(params, moments, keys):
        return jax.lax.scan(step, (params, moments), keys)[0]

    moments = optimizer.init(params)
    for keys in jax.random.split(jax.random.key(7), steps).reshape(steps // 100, 100):
        params, moments = several(params, moments, keys)
    return nnx.merge(graph, params, rest)


def denoiser(network):
    return ss.NetworkDenoiser(SDE, network, predicts="noise", noise_level=ss.denoiser.log_noise_level)


def excess(network, told, n=4000):
    """Of the middle noise levels, and that of the same with y of another example."""
    truth, law = joint()
    x0, y = law.sample(jax.random.key(11), n)
    t = jnp.linspace(0.15, 0.6, n)
    x = SDE.perturb(x0, t, jax.random.normal(jax.random.key(12), x0.shape))
    exact, plain = law.denoiser(SDE).noise(x, t, {"y": y}), truth.denoiser(SDE).noise(x, t)
    knowing_nothing = jnp.mean((plain - exact) ** 2)
    # y matters: without it the loss is at least twice what it is with it.
    noise = (x - SDE.alpha(t).reshape(-1, 1, 1, 1) * x0) / SDE.sigma(t).reshape(-1, 1, 1, 1)
    assert float(jnp.mean((plain - noise) ** 2)) > 2 * float(jnp.mean((exact - noise) ** 2))
    model = jax.jit(denoiser(network).noise)
    found, shuffled = model(x, t, told(conditions(y))), model(x, t, told(conditions(jnp.roll(y, 1, axis=0))))
    return (
        float(jnp.mean((found - exact) ** 2) / knowing_nothing),
        float(jnp.mean((shuffled - noise) ** 2) / jnp.mean((plain - noise) ** 2)),
    )


def moments(network, told, n=4000, several=6):
    """The distance of the conditional mean in posterior deviations, and that of the covariance relative to its norm, for
    several y; the Monte Carlo error of the first is .016, of the second .06.
    """
    law = joint()[1]
    y = law.sample(jax.random.key(13), several)[1]
    draw = jax.jit(lambda y, key: ss.samplers.dpm_solver(
        denoiser(network), key, n, SIZE, steps=30, order=2, condition=told(conditions(jnp.broadcast_to(y, (n, len(y)))))
    ).x.reshape(n, -1))  # fmt: skip
    of_mean, of_covariance = [], []
    for i in range(several):
        x, exact = np.asarray(draw(y[i], jax.random.key(20 + i)), np.float64), law.posterior(y[i])
        mean, covariance = np.asarray(exact.mean).ravel(), np.asarray(exact.covariance).reshape(16, 16)
        of_mean.append(np.mean((x.mean(axis=0) - mean) ** 2 / np.diag(covariance)))
        of_covariance.append(np.sum((np.cov(x.T) - covariance) ** 2) / np.sum(covariance**2))
    return float(np.sqrt(np.mean(of_mean))), float(np.sqrt(np.mean(of_covariance)))


def has_the_posterior(network, told):
    mean, covariance = moments(network, told)
    assert mean < 0.1
    assert covariance < 0.15


def base_network(**options):
    return NCSNpp(4, 1, **NETWORK | options, rngs=nnx.Rngs(0))


@functools.cache
def base():
    """A network that is not told y, but has cross-attention to tokens that say nothing."""
    return trained(lambda network: network, base_network(**TOKENS), silent)


pytestmark = pytest.mark.slow


def identity(condition):
    return condition


def test_concatenation():
    network = functools.partial(NCSNpp, **NETWORK)
    start = Concatenation(4, 1, network=network, leaves={"y": 2}, rngs=nnx.Rngs(0))
    network = trained(lambda network: network, start, identity)
    found, shuffled = excess(network, identity)
    assert found < 0.05
    assert shuffled > 1  # what is told of another is worse than nothing
    has_the_posterior(network, identity)


def test_cross_attention():
    network = trained(lambda network: network, base_network(**TOKENS), identity)
    found, shuffled = excess(network, identity)
    assert found < 0.1
    assert shuffled > 1
    has_the_posterior(network, identity)


@functools.cache
def attending_base():
    """The same with cross-attention at both resolutions, which is all that an image prompt acts through."""
    network = base_network(**TOKENS, attn_resolutions=(4, 2))
    return trained(lambda network: network, network, silent)


ADAPTERS = {
    "control": (base, lambda base: ControlNet(base, control_channels=2, rngs=nnx.Rngs(1))),
    "image": (attending_base, lambda base: ImageTokens(base, features=len(SEEN), rngs=nnx.Rngs(2))),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters(name):
    """On bases that were trained without y, and stay as they are."""
    of, make = ADAPTERS[name]
    adapter = trained(lambda adapter: adapted(of(), adapter), make(of()), silent)
    found, shuffled = excess(adapted(of(), adapter), silent)
    assert excess(of(), silent)[0] > 0.9
    if name == "control":
        has_the_posterior(adapted(of(), adapter), silent)
    assert found < {"control": 0.1, "image": 0.3}[name]
    assert shuffled > 1


def test_lora():
    """A low rank turns the cross-attention, which has seen nothing, to what it is told."""
    lora = trained(
        lambda lora: adapted(base(), lora),
        LoRA(base(), rank=8, match=r"(?!noise).*kernel$", rngs=nnx.Rngs(3)),
        identity,
    )
    assert excess(adapted(base(), lora), identity)[0] < 0.5
