"""Exact log-densities by the probability flow (Song et al. 2021, section 4.3 and appendix D.2), and the latent code."""

import dataclasses
import math
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from score_sde import pytree
from score_sde.checks import per_sample, require, sum_over_sample
from score_sde.denoiser import Condition, Denoiser
from score_sde.likelihood import divergence as divergences
from score_sde.likelihood.adams import Adams
from score_sde.likelihood.arguments import checked, ends_of, given_probes, warn_of_failures
from score_sde.likelihood.flow import Method, Path, follow, scale
from score_sde.randomness import check_key
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class LogLikelihood:
    """The result of ``log_likelihood``. A pytree."""

    log_prob: Float[Array, "n"]
    """In nats, in model space. NaN where ``failed_at`` is not −1."""
    latent: Float[Array, "n *shape"]
    """x at ``t_end``: the code that ``decode`` maps back to x."""
    standard_error: Float[Array, "n"] | None
    """Of log_prob over the probes: None with one probe, 0 with the exact divergence."""
    nfe: Int[Array, "n"]
    """Forward passes through the network (each with its pullback) for each sample."""
    calls: Int[Array, ""]
    """The number of batched evaluations."""
    failed_at: Int[Array, "n"]
    """The number of solver steps after which a sample failed; −1 if it did not."""
    reached: Float[Array, "n"]
    """The time at which it failed; ``t_end`` if it did not."""
    t_end: Float[Array, ""]
    sde: SDE

    def prior_mismatch(self, truth: Any) -> Float[Array, "n"]:
        """log prior(z) − log p_t_end(z) at the latents: the error in log_prob because the prior is not p at t_end.

        ``truth``: an exact distribution of ``ss.analytic``, or any object with log_prob(x, sde=, t=). Minus this
        term, log_prob is exactly that of x at t_min; under VE it reaches 1.7e-2 nats per dimension.
        """
        return self.sde.prior_log_prob(self.latent) - truth.log_prob(self.latent, sde=self.sde, t=self.t_end)


pytree.register(LogLikelihood, static_unless_told=False)


def log_likelihood(
    model: Denoiser,
    x: ArrayLike,
    key: Key[Array, ""],
    condition: Condition = None,
    *,
    divergence: str = "hutchinson",
    probes: int | ArrayLike = 1,
    distribution: str = "rademacher",
    rtol: float | Array = 1e-5,
    atol: float | Array = 1e-5,
    last_step: str = "stop",
    t_min: ArrayLike | None = None,
    t_max: ArrayLike | None = None,
    steps: str = "each",
    solver: Any = Adams(),  # noqa: B008 - a frozen value
    max_steps: int = 4096,
    chunk: int = 16,
    memory: int = 2**31,
    adjoint: Any = diffrax.RecursiveCheckpointAdjoint(),  # noqa: B008
    precision: str | None = "highest",
    start: ArrayLike = 0,
) -> LogLikelihood:
    """The log-density of x under the model's probability flow; x has floats in model space, (n, *shape).

    ``divergence``: "hutchinson" with any number of ``probes`` (an array (probes, n, *shape) gives the probes
    themselves), or "exact", with ``chunk`` backward passes at a time, an error above ``memory`` bytes.
    ``last_step``: "stop" (the default, as in the paper) treats x as a draw at t_min and returns log p_t_min(x), which
    is deterministic except for the probe, invertible, and used for published numbers. "bound" adds the step to t = 0
    with the decoder p(x_0 | x_s) = N(x̂, (σ/α)² I) at s = t_min, for one draw of x_s = α x + σ ε. Its mean is a bound:

        log p(x_0) >= E[log p_s(x_s)] + D log α + D/2 − E‖ε̂(x_s) − ε‖²/2.

    ``steps``: with "each", every sample has its own step sizes and depends on (key, start + i) alone; "joint" uses one
    step size for the batch. ``start`` is the index of the first sample, or (n,) the index of each.
    ``t_min``, ``t_max``: the start and end of the flow, by default those of the SDE.

    Differentiable in x and in the model's parameters by the method ``adjoint`` (the default uses checkpoints, whose
    memory grows like the square root of ``max_steps``). ``precision``: of matrix products; "highest" prevents TF32 on
    a GPU. Failures are flagged and, outside jit, reported as warnings.
    """
    x = checked(model, x, condition, rtol, atol, steps, max_steps, solver)
    require(last_step in ("stop", "bound"), f'last_step = {last_step!r}; allowed: "stop", "bound"')
    check_key(key)
    n = x.shape[0]
    count, given = given_probes(probes, x)
    divergences.check(divergence, distribution, count, chunk, memory, x.shape, x.dtype.itemsize)
    require(jnp.shape(start) in ((), (n,)), f"start has shape {jnp.shape(start)}; allowed: () or ({n},), one a sample")
    run = _Run(Method(solver, steps, max_steps, adjoint), divergence, count, distribution, chunk, last_step, precision)
    index = jnp.asarray(start, int) + (jnp.arange(n) if jnp.ndim(start) == 0 else 0)
    ends = ends_of(model, t_min, t_max, x.dtype)
    result = _density(run, model, x, key, index, given, condition, ends, (jnp.asarray(rtol), jnp.asarray(atol)))
    warn_of_failures(result.failed_at, result.reached, index)
    return result


def encode(model: Denoiser, x: ArrayLike, condition: Condition = None, **options: Any) -> Float[Array, "n *shape"]:
    """The latent code of x: the flow from t_min to t_max, NaN where it failed. ``options``: those of ``log_likelihood``
    for the solver (rtol, atol, t_min, t_max, steps, solver, max_steps, adjoint, precision).
    """
    return _map(model, x, condition, forward=True, **options)


def decode(model: Denoiser, z: ArrayLike, condition: Condition = None, **options: Any) -> Float[Array, "n *shape"]:
    """The inverse of ``encode``: from t_max to t_min."""
    return _map(model, z, condition, forward=False, **options)


def _map(
    model: Denoiser,
    x: ArrayLike,
    condition: Condition,
    *,
    forward: bool,
    rtol: float | Array = 1e-5,
    atol: float | Array = 1e-5,
    t_min: ArrayLike | None = None,
    t_max: ArrayLike | None = None,
    steps: str = "each",
    solver: Any = Adams(),  # noqa: B008
    max_steps: int = 4096,
    adjoint: Any = diffrax.RecursiveCheckpointAdjoint(),  # noqa: B008
    precision: str | None = "highest",
) -> Array:
    x = checked(model, x, condition, rtol, atol, steps, max_steps, solver)
    ends = ends_of(model, t_min, t_max, x.dtype)
    ends = ends if forward else ends[::-1]
    method = Method(solver, steps, max_steps, adjoint)
    path = _bijection(method, precision, model, x, condition, ends, (jnp.asarray(rtol), jnp.asarray(atol)))
    warn_of_failures(path.failed_at, path.reached, jnp.arange(len(x)))
    return jnp.where(per_sample(path.failed_at < 0, path.x) > 0, path.x, jnp.nan)


class _Run(NamedTuple):
    """The static arguments."""

    method: Method
    divergence: str
    probes: int
    distribution: str
    chunk: int
    last_step: str
    precision: str | None


def _density_of(run: _Run, model: Denoiser, x, key, index, probes, condition, ends, tolerance) -> LogLikelihood:
    sde, dimensions = model.sde, math.prod(x.shape[1:])
    if run.divergence == "hutchinson" and probes is None:
        probes = divergences.draw_probes(run.distribution, key, index, x.shape[1:], run.probes, x.dtype)

    def rule(pullback, z: Array, probes: Any) -> Array:
        exact = run.divergence == "exact"
        return divergences.trace(pullback, z, run.chunk) if exact else divergences.hutchinson(pullback, probes)

    with jax.default_matmul_precision(run.precision or "default"):
        x_s, last = _last_step(model, x, key, index, condition, ends[0]) if run.last_step == "bound" else (x, 0.0)
        path = follow(run.method, model, x_s, probes, condition, ends, tolerance, rule)
    volume = dimensions * jnp.log(scale(sde, ends[1]) / scale(sde, ends[0]))
    log_prob = sde.prior_log_prob(path.x) + volume + dimensions * jnp.mean(path.delta, axis=1) + last
    error = None
    if run.divergence == "exact":
        error = jnp.zeros(len(x), x.dtype)
    elif run.probes > 1:
        error = dimensions * jnp.std(path.delta, axis=1, ddof=1) / math.sqrt(run.probes)
    failed_at = jnp.where((path.failed_at < 0) & ~jnp.isfinite(log_prob), 0, path.failed_at)
    log_prob = jnp.where(failed_at < 0, log_prob, jnp.nan).astype(x.dtype)
    nfe = path.nfe * model.cost.forward
    return LogLikelihood(log_prob, path.x, error, nfe, path.calls, failed_at, path.reached, ends[1], sde)


def _last_step(model: Denoiser, x, key, index, condition, s) -> tuple[Array, Array]:
    """x_s = α x + σ ε, and the bound D log α + D/2 − ‖ε̂ − ε‖²/2 for the step from s to t = 0."""
    draw = lambda i: jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, i), 1), x.shape[1:], x.dtype)  # noqa: E731
    noise = jax.vmap(draw)(index)
    x_s = model.sde.perturb(x, s, noise)
    error = sum_over_sample((model.noise(x_s, s, condition) - noise) ** 2)
    dimensions = math.prod(x.shape[1:])
    return x_s, dimensions * (model.sde.log_alpha(s) + 0.5) - error / 2


def _bijection_of(method: Method, precision, model: Denoiser, x, condition, ends, tolerance) -> Path:
    with jax.default_matmul_precision(precision or "default"):
        return follow(method, model, x, None, condition, ends, tolerance)


_density = jax.jit(_density_of, static_argnums=0)
_bijection = jax.jit(_bijection_of, static_argnums=(0, 1))
