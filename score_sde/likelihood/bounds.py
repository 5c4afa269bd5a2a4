"""Variational bounds on the log-density, which need no solution of the flow.

With x_t = α x_0 + σ ε, λ = log α²/σ², times t_0 < t_1 < … < t_N (Ho et al. 2020, eq. 5; Kingma et al. 2021, eq. 11),

    log p(x_0) >= −KL(q(x_N | x_0) ‖ prior) − Σ_k E[KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t))] + E[log p(x_0 | x_t_0)]

with s = t_{k−1}, t = t_k. For p(x_s | x_t) = q(x_s | x_t, x_0 = x̂), the posterior variance ("fixed small"), a term is

    L_t = (e^{λ_s − λ_t} − 1)/2 E‖ε̂ − ε‖²,

and for the variance of the forward step ("fixed large"), r = σ_s²/σ_t², it is r L_t + D/2 (r − 1 − log r). In the limit
of infinitely many steps (Song et al. 2021b, theorem 3; Kingma et al. 2021, eq. 15)

    Σ L_t -> ∫ (−dλ/dt)/2 E‖ε̂ − ε‖² dt,

which is estimated at random times. The decoder at t_0 is N(x̂, (σ/α)² I): its density at x_0 or, for data with levels,
its mass between the midpoints to the neighbouring levels (Ho et al. 2020, eq. 13), without dequantisation.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from score_sde import pytree
from score_sde.checks import Sample, require, sum_over_sample
from score_sde.data.scaling import DataScaling
from score_sde.denoiser import Condition, Denoiser, check_condition
from score_sde.likelihood.data import check_data
from score_sde.losses import LogSNRUniform, Times, denoising_at, likelihood
from score_sde.losses.intervals import log_interval
from score_sde.losses.times import span
from score_sde.randomness import check_key
from score_sde.samplers.options import indices_of
from score_sde.sde import SDE
from score_sde.sde.discrete import time_of_level


@dataclasses.dataclass(frozen=True)
class Bound:
    """log p(x_0) >= log_prob = −prior − diffusion + decoder, in nats, estimated with random noise. A pytree."""

    prior: Float[Array, "n"]
    diffusion: Float[Array, "n"]
    decoder: Float[Array, "n"]
    nfe: Int[Array, "n"]
    standard_error: Float[Array, "n"] | None = None
    """Of ``diffusion``, over the draws of time and noise (conservative, because the times are stratified)."""

    @property
    def log_prob(self) -> Float[Array, "n"]:
        return -self.prior - self.diffusion + self.decoder


pytree.register(Bound, static_unless_told=False)


def discrete_bound(
    model: Denoiser,
    x0: Any,
    key: Key[Array, ""],
    condition: Condition = None,
    *,
    steps: int | None = None,
    variance: str = "posterior",
    scaling: DataScaling | None = None,
    start: ArrayLike = 0,
) -> Bound:
    """The bound of the discrete chain: all terms, with one draw of noise and one evaluation per level.

    ``steps``: None for the SDE's own chain (DDPM's for VP, SMLD's for VE), or the number of steps, uniform in log-SNR.
    ``scaling``: None if x0 holds floats in model space. With a scaling, x0 holds integer levels, and the bound is on
    their *probability* (bits/dim = −log_prob/(D log 2), without the volume of a cell).
    """
    check_key(key)
    require(variance in ("posterior", "forward"), f'variance = {variance!r}; allowed: "posterior", "forward"')
    require(steps is None or steps >= 1, f"steps = {steps}; at least 1, or None for the SDE's own chain")
    require(
        steps is not None or hasattr(model.sde, "num_scales"),
        f"{type(model.sde).__name__} has no discrete chain; give steps, or use VP or VE",
    )
    point, index = _arguments(x0, scaling, condition, start)
    return _discrete(_Run(steps, variance, scaling, 0, None), model, x0, point, key, index, condition)


def continuous_bound(
    model: Denoiser,
    x0: Any,
    key: Key[Array, ""],
    condition: Condition = None,
    *,
    draws: int = 64,
    times: Times = LogSNRUniform(),  # noqa: B008 - a frozen value
    scaling: DataScaling | None = None,
    start: ArrayLike = 0,
) -> Bound:
    """The bound for infinitely many steps, its integral estimated at ``draws`` times per sample.

    The times are stratified and by default uniform in log-SNR, which leaves ‖ε̂ − ε‖² alone as the integrand.
    """
    check_key(key)
    require(draws >= 1, f"draws = {draws}; at least 1 is needed")
    point, index = _arguments(x0, scaling, condition, start)
    return _continuous(_Run(None, "posterior", scaling, draws, times), model, x0, point, key, index, condition)


class _Run(NamedTuple):
    """The static arguments."""

    steps: int | None
    variance: str
    scaling: DataScaling | None
    draws: int
    times: Any


def _discrete_of(run: _Run, model: Denoiser, data, x0, key, index, condition) -> Bound:
    t, alpha, sigma = _chain(model.sde) if run.steps is None else _even(model.sde, run.steps)
    log_snr = 2 * (jnp.log(alpha) - jnp.log(sigma))

    def noise_hat(x: Sample, k: Array) -> Sample:
        return model.on_chain(x, t[k], condition)[1] if run.steps is None else model.noise(x, t[k], condition)

    def squared_error(k: Array) -> Float[Array, "n"]:
        noise = _noise(key, index, k, x0)
        return sum_over_sample((noise_hat(alpha[k] * x0 + sigma[k] * noise, k) - noise) ** 2)

    def add_term(total: Array, k: Array) -> tuple[Array, None]:
        term = jnp.expm1(log_snr[k - 1] - log_snr[k]) / 2 * squared_error(k)
        if run.variance == "forward":
            r = (sigma[k - 1] / sigma[k]) ** 2
            term = r * term + _dimensions(x0) / 2 * (r - 1 - jnp.log(r))
        return total + term, None

    diffusion, _ = jax.lax.scan(add_term, jnp.zeros(len(x0), x0.dtype), jnp.arange(1, len(t)))
    noise = _noise(key, index, 0, x0)
    x_s = alpha[0] * x0 + sigma[0] * noise
    mean = (x_s - sigma[0] * noise_hat(x_s, jnp.asarray(0))) / alpha[0]
    decoder = _decoder(run.scaling, data, x0, mean, sigma[0] / alpha[0])
    prior = _prior(model.sde, x0, alpha[-1], sigma[-1])
    return Bound(prior, diffusion, decoder, jnp.full(len(x0), len(t)))


def _continuous_of(run: _Run, model: Denoiser, data, x0, key, index, condition) -> Bound:
    sde = model.sde
    first, last = span(sde)

    def draw(k: Array) -> Float[Array, "n"]:
        u = jax.vmap(lambda i: jax.random.uniform(_key(key, i, 2 * k + 2)))(index)
        t = run.times.quantile(sde, (k + u) / run.draws)
        noise = _noise(key, index, 2 * k + 3, x0)
        loss = denoising_at(model, x0, t, noise, condition, weighting=likelihood, reduce="half_sum")
        return loss / run.times.density(sde, t)

    terms = jax.lax.map(draw, jnp.arange(run.draws))
    error = None if run.draws == 1 else jnp.std(terms, axis=0, ddof=1) / math.sqrt(run.draws)
    mean = model.denoise(sde.perturb(x0, first, _noise(key, index, 0, x0)), first, condition)
    decoder = _decoder(run.scaling, data, x0, mean, (sde.sigma(first) / sde.alpha(first)).astype(x0.dtype))
    prior = _prior(sde, x0, sde.alpha(last), sde.sigma(last))
    return Bound(prior, jnp.mean(terms, axis=0), decoder, jnp.full(len(x0), run.draws + 1), error)


_discrete = jax.jit(_discrete_of, static_argnums=0)
_continuous = jax.jit(_continuous_of, static_argnums=0)


def _chain(sde: Any) -> tuple[Array, Array, Array]:
    """The levels t, α, σ of the SDE's own chain."""
    t = time_of_level(jnp.arange(sde.num_scales), sde.num_scales)
    return t, sde.discrete_alpha(t), sde.discrete_sigma(t)


def _even(sde: SDE, steps: int) -> tuple[Array, Array, Array]:
    """Steps uniform in log-SNR over the times used by the losses."""
    first, last = span(sde)
    t = sde.time_of_log_snr(jnp.linspace(sde.log_snr(first), sde.log_snr(last), steps + 1))
    return t, sde.alpha(t), sde.sigma(t)


def _prior(sde: SDE, x0: Sample, alpha: Array, sigma: Array) -> Float[Array, "n"]:
    """KL(N(α x_0, σ² I) ‖ N(0, S² I)) = (α²‖x_0‖²/S² + D (σ²/S² − 1 − log σ²/S²))/2."""
    ratio = (sigma / sde.prior_std) ** 2
    return (sum_over_sample((alpha / sde.prior_std * x0) ** 2) + _dimensions(x0) * (ratio - 1 - jnp.log(ratio))) / 2


def _decoder(scaling: DataScaling | None, data: Any, x0: Sample, mean: Sample, std: Array) -> Float[Array, "n"]:
    """log N(x_0; mean, std² I), or the log of its mass around each pixel's level."""
    if scaling is None or scaling.levels is None:
        return -0.5 * sum_over_sample((x0 - mean) ** 2) / std**2 - _dimensions(x0) * jnp.log(
            std * math.sqrt(2 * math.pi)
        )
    half = (scaling.cell if scaling.dequantize else scaling.cell * scaling.levels / (scaling.levels - 1)) / 2
    below = jnp.where(data == 0, -jnp.inf, (x0 - half - mean) / std)
    above = jnp.where(data == scaling.levels - 1, jnp.inf, (x0 + half - mean) / std)
    return sum_over_sample(log_interval(below, above))


def _arguments(x0: Any, scaling: DataScaling | None, condition: Condition, start: ArrayLike) -> tuple[Array, Array]:
    """x_0 in model space (the middle of its cell, or the level itself if training was not dequantised); the index."""
    if scaling is not None:
        check_data(x0, scaling)
        middle = scaling.levels is not None and scaling.dequantize
        x0 = scaling.place(x0, jnp.full((), 0.5)) if middle else scaling.forward(x0)
    x0 = jnp.asarray(x0)
    require(
        jnp.issubdtype(x0.dtype, jnp.floating),
        f"x0 has dtype {x0.dtype}; give floats in model space, or the scaling of these levels",
    )
    check_condition(condition, x0)
    return x0, indices_of(len(x0), start)


def _key(key: Array, i: Array, k: ArrayLike) -> Array:
    return jax.random.fold_in(jax.random.fold_in(key, i), k)


def _noise(key: Array, index: Array, k: ArrayLike, x0: Sample) -> Sample:
    """The k-th draw of standard normal noise for every sample."""
    return jax.vmap(lambda i: jax.random.normal(_key(key, i, k), x0.shape[1:], x0.dtype))(index)


def _dimensions(x0: Sample) -> int:
    return math.prod(x0.shape[1:])
