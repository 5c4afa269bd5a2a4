"""Adaptive solvers: each sample has its own step sizes and its own number of evaluations (diffrax under vmap).

The whole batch is evaluated until its slowest sample is done: ``nfe`` counts the evaluations of each sample, ``calls``
the batched calls.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import diffrax
import jax
import jax.numpy as jnp
import lineax
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde.checks import Nothing, no_others, require
from score_sde.denoiser import Condition, Denoiser
from score_sde.randomness import check_key
from score_sde.samplers import grids
from score_sde.samplers.options import Final, check_arguments
from score_sde.samplers.samples import Samples, latents, note_failures


def ode(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    rtol: int | float = 1e-5,
    atol: int | float = 1e-5,
    solver: diffrax.AbstractAdaptiveSolver = diffrax.Dopri5(),  # noqa: B008 - a frozen value
    max_steps: int = 4096,
    condition: Condition = None,
    x_init: ArrayLike | None = None,
    time_grid: grids.Grids = None,
    start: ArrayLike = 0,
    final: Final = "denoise",
    record: Callable | None = None,
    save_every: int = 1,
    **others: Unpack[Nothing],
) -> Samples:
    """Draw n samples with the probability-flow ODE, dx/dt = velocity (Song et al. 2021, section 4.3), adaptively.

    ``solver``: any diffrax solver with an error estimate, such as Dopri5, Tsit5, Heun, or the implicit Kvaerno5 (its
    ``nfe`` counts one evaluation per stage, a lower bound: diffrax does not report the Newton iterations).
    ``time_grid`` gives the two end points; with ``record``, its points are recorded (by default ``grids.native``).
    ``failed_at``: the number of steps taken when a sample ran out of ``max_steps`` or became non-finite.
    """
    no_others(others, _options(ode), "ode")
    run = _Run("ode", n, tuple(shape), solver, float(rtol), float(atol), max_steps, 0.0, final, record, save_every)
    return _solve(run, model, key, condition, x_init, time_grid, start)


def adaptive_sde(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    rtol: int | float = 1e-2,
    atol: int | float = 1e-2,
    stochasticity: int | float = 1.0,
    max_steps: int = 4096,
    condition: Condition = None,
    x_init: ArrayLike | None = None,
    time_grid: grids.Grids = None,
    start: ArrayLike = 0,
    final: Final = "denoise",
    record: Callable | None = None,
    save_every: int = 1,
    **others: Unpack[Nothing],
) -> Samples:
    """Draw n samples of the reverse SDE with adaptive steps along one Brownian path per sample.

    The noise is additive, so the solver (ShARK; Foster et al. 2023) has strong order 1.5 with two evaluations per
    step. A rejected step causes no bias because it does not change the path, unlike in Jolicoeur-Martineau et al. 2021.
    """
    no_others(others, _options(adaptive_sde), "adaptive_sde")
    require(0 < stochasticity <= 1, f"stochasticity = {stochasticity}; allowed: (0, 1]; for 0 use samplers.ode")
    run = _Run(
        "sde", n, tuple(shape), diffrax.ShARK(), float(rtol), float(atol), max_steps, float(stochasticity), final,
        record, save_every,
    )  # fmt: skip
    return _solve(run, model, key, condition, x_init, time_grid, start)


def _options(sampler: Callable) -> list[str]:
    """The keyword-only arguments of a sampler."""
    return [p.name for p in inspect.signature(sampler).parameters.values() if p.kind is p.KEYWORD_ONLY]


class _Run(NamedTuple):
    """The static arguments."""

    kind: str
    n: int
    shape: tuple[int, ...]
    solver: Any
    rtol: float
    atol: float
    max_steps: int
    stochasticity: float
    final: Final
    record: Callable | None
    save_every: int


def _solve(run: _Run, model, key, condition, x_init, time_grid, start) -> Samples:
    check_key(key)
    require(run.rtol > 0 and run.atol >= 0, f"rtol = {run.rtol}, atol = {run.atol}: rtol > 0 and atol >= 0")
    require(run.max_steps >= 1, f"max_steps = {run.max_steps}; it must be at least 1")
    require(
        run.kind == "sde" or isinstance(run.solver, diffrax.AbstractAdaptiveSolver),
        f"solver = {run.solver!r}; give one of diffrax's solvers with an error estimate, such as diffrax.Tsit5()",
    )
    require(run.final != "mean", 'final = "mean" has no meaning for adaptive steps; allowed: "denoise", "none"')
    points = 20 if run.record else 1
    times = grids.resolve(time_grid, model.sde, points, grids.native)
    index, x_init = check_arguments(run.n, run.shape, condition, x_init, start, run.final, run.save_every)
    return _jitted(run, model, key, index, x_init, condition, jnp.asarray(times))


def _integrate(run: _Run, model: Denoiser, key, index, x_init, condition, times: Array) -> Samples:
    x = latents(model.sde, key, index, run.shape, times[0]) if x_init is None else x_init
    saved_at = times[:: run.save_every] if run.record else None
    integrate = _ode if run.kind == "ode" else _sde

    def one(x: Array, condition: Condition, number: Array) -> diffrax.Solution:
        condition = jax.tree.map(lambda leaf: leaf[None], condition)
        return integrate(run, model, x, condition, jax.random.fold_in(key, number), times, saved_at)

    solution = jax.vmap(one)(x, condition, index)
    states: Array = solution.ys.reshape(run.n, -1, *run.shape)  # type: ignore[union-attr]
    stats = solution.stats
    per_step, once = evaluations(run.solver) if run.kind == "ode" else (2, 0)  # ShARK's
    nfe = per_step * stats["num_steps"] + once
    gave_up = solution.result != diffrax.RESULTS.successful
    failed_at = note_failures(jnp.where(gave_up, stats["num_steps"], -1), states[:, -1], 0)
    failed_at = jnp.where(failed_at == 0, stats["num_steps"], failed_at)
    last: Any = states[:, -1]
    extra = 0
    if run.final == "denoise":
        last, extra = model.denoise(last, times[-1], condition), 1
    kept = None
    if run.record is not None and saved_at is not None:
        record = run.record
        kept = jax.lax.map(
            lambda at: record(at[0], at[1], model.denoise(at[1], at[0], condition)),
            (saved_at, jnp.moveaxis(states[:, :-1], 1, 0)),
        )
        extra += len(saved_at)
    calls, cost = nfe + extra, model.cost
    return Samples(last, calls * cost.forward, jnp.max(calls), failed_at, index, kept, calls * cost.pullbacks)


_jitted = jax.jit(_integrate, static_argnums=0)


def _ode(run: _Run, model: Denoiser, x, condition, key, times, saved_at) -> diffrax.Solution:
    """dx/dt = velocity, from t_0 down to t_1, one sample as a flat vector."""

    def velocity(t, y, _):
        return model.velocity(y.reshape(1, *run.shape), t, condition).ravel()

    return diffrax.diffeqsolve(
        diffrax.ODETerm(velocity),
        run.solver,
        times[0],
        times[-1],
        None,
        x.ravel(),
        saveat=diffrax.SaveAt(t1=True, ts=saved_at),
        # A PI controller (Hairer & Wanner 1996, IV.2) rejects half as many steps as diffrax's default, an integral
        # controller, which needs 20 % more evaluations at the same error; see experiments/benchmarks/samplers.py.
        stepsize_controller=diffrax.PIDController(rtol=run.rtol, atol=run.atol, pcoeff=0.3, icoeff=0.4),
        max_steps=run.max_steps,
        throw=False,
    )


def _sde(run: _Run, model: Denoiser, x, condition, key, times, saved_at) -> diffrax.Solution:
    """The reverse SDE, dx = −[velocity + λ² g²/(2σ) ε̂] dt + λ g dW along u = t_0^(1/ρ) − t^(1/ρ),
    which grows from 0, as the time of a Brownian path must. ρ = ``sde.time_power`` also suits EDM.
    """
    sde, rho = model.sde, model.sde.time_power
    first = times[0] ** (1 / rho)
    span = first - times[-1] ** (1 / rho)

    def time(u) -> tuple[Array, Array]:
        """t and −dt/du."""
        w = first - u
        return w**rho, rho * w ** (rho - 1)

    def drift(u, y, _):
        t, speed = time(u)
        x0, eps = model.predict(y.reshape(1, *run.shape), t, condition)
        weight = sde.sigma_dot(t) + run.stochasticity**2 * sde.diffusion(t) ** 2 / (2 * sde.sigma(t))
        return -speed * (sde.alpha_dot(t) * x0 + weight * eps).ravel()

    def noise(u, y, _):
        t, speed = time(u)
        return lineax.DiagonalLinearOperator(
            jnp.broadcast_to(run.stochasticity * sde.diffusion(t) * jnp.sqrt(speed), y.shape)
        )

    path = diffrax.VirtualBrownianTree(
        jnp.zeros_like(span),
        span,
        tol=span * 2**-14,
        shape=jax.ShapeDtypeStruct((x.size,), x.dtype),
        key=jax.random.fold_in(key, 1),
        levy_area=diffrax.SpaceTimeLevyArea,
    )
    return diffrax.diffeqsolve(
        diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(noise, path)),
        run.solver,
        jnp.zeros_like(span),
        span,
        span / 1000,
        x.ravel(),
        saveat=diffrax.SaveAt(t1=True, ts=None if saved_at is None else first - saved_at ** (1 / rho)),
        stepsize_controller=diffrax.PIDController(
            rtol=run.rtol, atol=run.atol, pcoeff=0.1, icoeff=0.3, dtmin=span * 2**-13
        ),
        max_steps=run.max_steps,
        throw=False,
    )


def evaluations(solver: Any) -> tuple[int, int]:
    """The evaluations per attempted step, and those made once: two to choose diffrax's first step, and one for the
    first stage of an FSAL method. (A rejected *first* step repeats that stage, which is not counted.)
    """
    tableau = solver.tableau
    return (tableau.num_stages - 1, 3) if tableau.fsal else (tableau.num_stages, 2)
