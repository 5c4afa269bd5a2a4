"""The probability flow as a bijection, data <-> latent, and its change of volume.

With the angle φ = atan(σ/α) and z = x_t/s, s = √(α² + σ²), every SDE has the same flow,

    z = cos φ x_0 + sin φ ε,        dz/dφ = cos φ ε̂ − sin φ x̂ =: v(z, φ),        d log p_φ(z)/dφ = −div v,

and so (Chen et al. 2018, eq. 8; Song et al. 2021, eq. 39), with D dimensions,

    log p(x_0) = log prior(x_1) + D log(s_1/s_0) + ∫ div v dφ      from φ_0 = φ(t_min) to φ_1 = φ(t_max).

In t the path begins like √t (VP) or ends at α = 0 (flow matching); in φ it is smooth at both ends, and z and v have the
scale of the data, so a tolerance means the same for every SDE. But networks vary on the scale of the logarithm of the
noise, and div v grows like 1/φ where the data are thinner than the noise. So the solver's variable is

    u = arsinh(tan(φ/2)/c),        φ = 2 arctan(c sinh u),        c = 10⁻³,

which is log σ/α for small noise, linear in φ where noise dominates, and linear again below φ = c, so that t = 0 is a
regular point.

v and its divergence come from one evaluation of the network and one pullback; z and δ = ∫ div v dφ / D, in nats per
dimension, are solved together. The step size is chosen separately for each sample ("each": a vmap over batches of one)
or for the whole batch ("joint").
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import diffrax
import jax
import jax.numpy as jnp
import optimistix
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from score_sde.checks import Sample, per_sample
from score_sde.denoiser import Condition, Denoiser
from score_sde.likelihood.adams import Adams
from score_sde.samplers.adaptive import evaluations
from score_sde.sde import SDE

Divergence: TypeAlias = Callable[
    [Callable[[Array], Array], Array, Array], Array
]  # (pullback, z, probes) -> (n, probes)


SMALLEST_ANGLE = 1e-3
"""c above."""


class Method(NamedTuple):
    """How the flow is solved; static."""

    solver: diffrax.AbstractERK | Adams
    steps: str  # "each" or "joint"
    max_steps: int
    adjoint: Any


class Path(NamedTuple):
    """The result of the flow, and its cost."""

    x: Any
    """(n, *shape): the state at the last time, or at ``reached`` if the solver gave up."""
    delta: Any
    """(n, probes): ∫ div v dφ / D."""
    nfe: Int[Array, "n"]
    calls: Int[Array, ""]
    failed_at: Int[Array, "n"]
    """The number of steps after which the solver gave up or the sample became non-finite; −1 if neither."""
    reached: Float[Array, "n"]
    """The time reached."""


def angle(sde: SDE, t: ArrayLike) -> Array:
    """φ = atan(σ/α), from 0 (data) to π/2 (noise)."""
    return jnp.arctan2(sde.sigma(t), sde.alpha(t))


def time_of_angle(sde: SDE, phi: Array) -> Array:
    """The t with λ(t) = 2 log cot φ. The solver chooses φ, so it is not differentiated."""
    phi = jax.lax.stop_gradient(phi)
    log_snr = 2 * (jnp.log(jnp.maximum(jnp.cos(phi), 0)) - jnp.log(jnp.maximum(jnp.sin(phi), 0)))
    return sde.time_of_log_snr(log_snr)


def walked(phi: Array) -> Array:
    """The solver's variable u at an angle."""
    return jnp.arcsinh(jnp.tan(phi / 2) / SMALLEST_ANGLE)


def angle_at(u: Array) -> Array:
    """The inverse of ``walked``."""
    return 2 * jnp.arctan(SMALLEST_ANGLE * jnp.sinh(u))


def scale(sde: SDE, t: ArrayLike) -> Array:
    """The scale √(α² + σ²) of x_t."""
    return jnp.hypot(sde.alpha(t), sde.sigma(t))


def rotation(model: Denoiser, z: Sample, phi: ArrayLike, condition: Condition) -> Sample:
    """The velocity in φ, cos φ ε̂ − sin φ x̂."""
    phi = jnp.asarray(phi)
    t = time_of_angle(model.sde, phi)
    x0, noise = model.predict(z * per_sample(scale(model.sde, t), z), t, condition)
    return per_sample(jnp.cos(phi), z) * noise - per_sample(jnp.sin(phi), z) * x0


def follow(
    method: Method,
    model: Denoiser,
    x: Sample,
    probes: Any,
    condition: Condition,
    ends: tuple[Array, Array],
    tolerance: tuple[Array, Array],
    divergence: Divergence | None = None,
) -> Path:
    """The flow from t = ends[0] to ends[1], in either direction, with δ if a divergence is given; probes: (n, …)."""

    def solve(x: Array, probes: Any, condition: Condition) -> Path:
        return _solve(method, model, x, probes, condition, ends, tolerance, divergence)

    if method.steps == "joint":
        return solve(x, probes, condition)
    one_each = jax.tree.map(lambda leaf: leaf[:, None], (x, probes, condition))
    path = jax.vmap(solve)(*one_each)
    alone = jax.tree.map(lambda leaf: leaf[:, 0], path._replace(calls=path.nfe))
    return alone._replace(calls=jnp.max(path.calls))


def _solve(method: Method, model: Denoiser, x, probes, condition, ends, tolerance, divergence) -> Path:
    """Solve one batch with one step size."""
    sde = model.sde
    dimensions = math.prod(x.shape[1:])

    def field(u: Any, state: tuple, _: Any) -> tuple:
        z, _ = state
        phi, speed = jax.jvp(angle_at, (u,), (jnp.ones_like(u),))  # dφ/du
        if divergence is None:
            return speed * rotation(model, z, phi, condition), None
        v, pullback = jax.vjp(lambda z: rotation(model, z, phi, condition), z)
        return speed * v, speed * divergence(lambda w: pullback(w)[0], z, probes) / dimensions

    def norm(state: tuple) -> Array:
        """The larger of the two, so that δ, one number against D, is as accurate as z."""
        z, delta = map(optimistix.rms_norm, state)
        return jnp.maximum(z, delta)

    first, last = (walked(angle(sde, t)) for t in ends)
    first_step, growth, per_step, once = _habits(method.solver)
    z = x / per_sample(scale(sde, ends[0]), x)
    delta = None
    if divergence is not None:
        delta = jnp.zeros(jax.eval_shape(lambda: field(first, (z, None), None))[1].shape, x.dtype)
    smallest = 8 * float(jnp.finfo(first.dtype).eps) * jnp.abs(last - first)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        method.solver,
        first,
        last,
        (last - first) * first_step,
        (z, delta),
        # If the step cannot shrink any more (NaN, or a jump in the model), the sample fails.
        stepsize_controller=diffrax.PIDController(
            rtol=tolerance[0],
            atol=tolerance[1],
            pcoeff=0.2,
            icoeff=0.6,
            norm=norm,
            factormax=growth,
            dtmin=smallest,
            force_dtmin=False,
        ),
        max_steps=method.max_steps,
        adjoint=method.adjoint,
        throw=False,
    )
    return _path(sde, solution, ends[1], per_step, once)


def _path(sde: SDE, solution: diffrax.Solution, end: Array, per_step: int, once: int) -> Path:
    """The result of a solution in (z, δ) and u that was to lead to t = end."""
    (z, delta), u = jax.tree.map(lambda leaf: leaf[-1], (solution.ys, solution.ts))  # type: ignore[misc]
    steps = solution.stats["num_steps"]
    n = len(z)
    finite = jnp.all(jnp.isfinite(z.reshape(n, -1)), axis=1)
    if delta is not None:
        finite &= jnp.all(jnp.isfinite(delta), axis=1)
    fine = finite & (solution.result == diffrax.RESULTS.successful)
    reached = jnp.where(solution.result == diffrax.RESULTS.successful, end, time_of_angle(sde, angle_at(u)))
    nfe = per_step * steps + once
    return Path(
        x=z * per_sample(scale(sde, reached), z),
        delta=delta,
        nfe=jnp.full(n, nfe),
        calls=nfe,
        failed_at=jnp.where(fine, -1, steps),
        reached=jnp.full(n, reached),
    )


def _habits(solver: diffrax.AbstractERK | Adams) -> tuple[float, float, int, int]:
    """The first step as a fraction of the path, the largest growth of a step, evaluations per step and once.

    The first step is fixed because choosing it would cost two evaluations. Adams' method begins with order 2.
    """
    if isinstance(solver, Adams):
        return 0.001, 2.0, 1, 1
    per_step, once = evaluations(solver)
    return 0.03, 10.0, per_step, once - 2
