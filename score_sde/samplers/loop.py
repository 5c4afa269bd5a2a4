"""The one loop that every sampler on a fixed grid runs in.

A ``Method`` says how to take one step; the loop owns everything else: the latents, the noise, the scan over the grid,
what is recorded, which samples failed, and the last noiseless step. All of it is one compiled function; nothing
returns to the host between steps. Sample i depends on (key, i) alone.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, PyTree

from score_sde import pytree
from score_sde.checks import no_others, per_sample, require
from score_sde.denoiser import Condition, Denoiser, check_condition
from score_sde.randomness import check_key
from score_sde.samplers import grids
from score_sde.sde import SDE

Final = Literal["denoise", "mean", "none"]


class Options(TypedDict, total=False):
    """What every sampler takes besides its own arguments."""

    condition: Condition
    """Passed to the model; its leaves lead with n."""
    x_init: Array
    """(n, *shape): start from this state at time_grid[0], which may lie below t_max. Unless given, from the prior."""
    time_grid: grids.Grids
    """A function of ``grids`` or an array of times; an array also decides the number of steps."""
    start: int | Array
    """The index of the first sample, or (n,) the index of each: sample i depends on (key, i) alone."""
    final: Final
    """"denoise": one more evaluation takes x to the posterior mean of x_0 (the default). "mean": the last step is
    taken without its noise. "none": x at the last time of the grid as it is."""
    record: Callable[[Array, Array, Array], PyTree] | None
    """Keep ``record(t, x_t, x0)`` on the way, x0 the posterior mean at x_t. Define it once: a new function is a new
    compilation."""
    save_every: int
    """Record every so many steps, the first included."""
    noise: Array | None
    """(steps, draws, n, *shape): the standard normal draws themselves, in place of those made from the key."""
    progress: Callable[[int, int], None] | None
    """Called with (steps done, steps) between compiled chunks of the grid; see ``generate``."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a sampler returns. A pytree."""

    x: Float[Array, "n *shape"]
    nfe: Int[Array, "n"]
    """Passes forward through the network that each sample needed: a guided model pays two for each call."""
    calls: Int[Array, ""]
    """Batched calls of the model that were made."""
    failed_at: Int[Array, "n"]
    """The step at which a sample became non-finite, or its solver gave up; −1 is fine."""
    index: Int[Array, "n"]
    """Which sample each one is: it depends on (key, index) alone."""
    record: PyTree = None
    """What ``record`` kept, one entry every ``save_every`` steps along the first axis."""
    pullbacks: Int[Array, "n"] | int = 0
    """Pullbacks through the network that each sample needed, by a model that takes gradients."""


pytree.register(Samples, static_unless_told=False)


def trajectory(t: Array, x: Array, x0: Array) -> dict[str, Array]:
    """A ready ``record``: everything, for plots and films."""
    return {"t": t, "x": x, "x0": x0}


class Step(NamedTuple):
    """One step of a method."""

    x: Any
    mean: Any
    """x without the noise of this step."""
    x0: Any = None
    """The posterior mean at the state before the step, where the method knows it anyway."""
    memory: PyTree = None


@dataclasses.dataclass(frozen=True)
class Method:
    """How to take one step. Its fields are static: a method is part of what is compiled."""

    def default_grid(self, sde: SDE, steps: int) -> Array | np.ndarray:
        return grids.log_snr(sde, steps)

    def plan(self, sde: SDE, times: Array) -> dict[str, Array]:
        """What each step needs that depends on the grid alone, one row a step: "t", "s" and the method's coefficients.

        Computed once before the loop, in float64. A method may take more rows than the grid has steps; "step" then
        says which step of the grid each row belongs to.
        """
        raise NotImplementedError

    def rows(self, sde: SDE, times: Array | np.ndarray) -> dict[str, Array | np.ndarray]:
        """The plan, evaluated in float64 where the grid is concrete."""
        return dict(grids.in_double(_plan, (sde, times), (self,)))

    @property
    def draws(self) -> int:
        """Standard normal draws that one row uses."""
        return 0

    @property
    def evaluations(self) -> int:
        """Evaluations of the model that one row makes."""
        return 1

    @property
    def knows_x0(self) -> bool:
        """Whether a step knows the posterior mean at x_t; if not, recording it costs an evaluation."""
        return True

    def begin(self, x: Array) -> PyTree:
        """What is remembered from step to step, before the first."""
        return None

    def step(self, model: Denoiser, x: Array, row: dict, noise: Array, memory: PyTree, condition: Condition) -> Step:
        raise NotImplementedError


def solve(
    method: Method,
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    steps: int,
    *,
    condition: Condition = None,
    x_init: ArrayLike | None = None,
    time_grid: grids.Grids = None,
    start: ArrayLike = 0,
    final: Final = "denoise",
    record: Callable | None = None,
    save_every: int = 1,
    noise: ArrayLike | None = None,
    progress: Callable | None = None,
    pairs: bool = False,
    **others: Any,
) -> Samples:
    """Sample with a method; see ``Options`` for the arguments."""
    if others:
        own = [field.name for field in dataclasses.fields(method)]
        no_others(others, ["steps", *own, *Options.__annotations__], type(method).__name__)
    check_key(key)
    times = grids.resolve(time_grid, model.sde, steps, method.default_grid, pairs=pairs)
    shape = tuple(int(size) for size in shape)
    index, x_init = check_arguments(n, shape, condition, x_init, start, final, save_every)
    rows = make_rows(method, model.sde, times)
    count = len(rows["t"])
    if noise is not None:
        wanted = (count, method.draws, n, *shape)
        require(jnp.shape(noise) == wanted, f"noise has shape {jnp.shape(noise)}; allowed: {wanted}")
        noise = jnp.asarray(noise)
    run = _Run(method, n, shape, count, final, record, int(save_every))
    if progress is None:
        return _whole(run, model, key, index, x_init, condition, rows, noise)
    carry = _begin_jit(run, model, key, index, x_init, condition, rows)
    chunk = max(size for size in range(1, min(count, 50) + 1) if count % size == 0)  # equal chunks: one compilation
    progress(0, count)
    for first in range(0, count, chunk):
        here = {name: value[first : first + chunk] for name, value in rows.items()}
        drawn = None if noise is None else noise[first : first + chunk]
        carry = jax.block_until_ready(_advance_jit(run, model, key, index, carry, condition, here, drawn))
        progress(first + chunk, count)
    return _finish_jit(run, model, index, carry, condition, rows)


def check_arguments(n, shape, condition, x_init, start, final, save_every) -> tuple[Array, Array | None]:
    """The index of every sample, and x_init as an array; a ValueError for what cannot be used."""
    require(isinstance(n, int | np.integer) and int(n) >= 1, f"n = {n!r}; give a whole number of samples >= 1")
    require(final in ("denoise", "mean", "none"), f'final = {final!r}; allowed: "denoise", "mean", "none"')
    require(
        isinstance(save_every, int | np.integer) and int(save_every) >= 1,
        f"save_every = {save_every!r}; give a whole number >= 1",
    )
    check_condition(condition, jnp.empty((n, 0)))
    require(
        jnp.shape(start) in ((), (n,)),
        f"start has shape {jnp.shape(start)}; allowed: () or ({n},), one a sample",
    )
    index = jnp.asarray(start, int) + (jnp.arange(n) if jnp.ndim(start) == 0 else 0)
    if x_init is None:
        return index, None
    require(
        jnp.shape(x_init) == (n, *shape), f"x_init has shape {jnp.shape(x_init)}; n = {n} and shape need {(n, *shape)}"
    )
    return index, jnp.asarray(x_init, jnp.result_type(float, jnp.asarray(x_init).dtype))


def make_rows(method: Method, sde: SDE, times: Array | np.ndarray) -> dict[str, Array | np.ndarray]:
    """The method's plan in the type of the times, with "i", the number of the row, and "step" beside it."""
    with np.errstate(all="ignore"):  # what is not finite is found below
        rows = method.rows(sde, times)
    who = type(method).__name__
    missing = {"t", "s"} - set(rows)
    require(not missing, f"the plan of {who} has no row {sorted(missing)}; each step needs its times t and s")
    step = rows.get("step", np.zeros(0, int))
    require(
        jnp.issubdtype(step.dtype, jnp.integer),
        f'the row "step" of the plan of {who} holds {step.dtype}; it is kept for the number of the step, an '
        "integer: rename yours",
    )
    for name, value in rows.items():
        if isinstance(value, np.ndarray) and not np.isfinite(value).all():
            raise ValueError(
                f"the coefficients of {who} are not finite on this time_grid: the log-SNR of "
                f"{type(sde).__name__} is infinite at t = {float(np.ravel(times)[0]):g}. Begin at t_max_sampling = "
                f"{sde.t_max_sampling:g}"
            )
        if jnp.issubdtype(value.dtype, jnp.floating):
            rows[name] = value.astype(times.dtype)
        else:
            rows[name] = value.astype(np.int32)
    number = np.arange(len(rows["t"]), dtype=np.int32)
    return {"step": number, **rows, "i": number}


def _plan(sde: SDE, times: Array, method: Method) -> dict[str, Array]:
    return method.plan(sde, times)


class _Run(NamedTuple):
    """All that is static."""

    method: Method
    n: int
    shape: tuple[int, ...]
    rows: int
    final: Final
    record: Callable | None
    save_every: int


class _Carry(NamedTuple):
    """The state between two steps."""

    x: Array
    mean: Array
    memory: PyTree
    failed_at: Array
    saved: PyTree


def _begin(run: _Run, model, key, index, x_init, condition, rows) -> _Carry:
    x = latents(model.sde, key, index, run.shape, rows["t"][0]) if x_init is None else x_init
    saved = None
    if run.record is not None:
        entry = jax.eval_shape(run.record, rows["t"][0], x, x)
        slots = -(-run.rows // run.save_every)
        saved = jax.tree.map(lambda leaf: jnp.zeros((slots, *leaf.shape), leaf.dtype), entry)
    return _Carry(x, x, run.method.begin(x), note_failures(jnp.full(run.n, -1), x, 0), saved)


def _body(run: _Run, model, key, index, condition) -> Callable:
    """One step, to be scanned."""

    def body(carry: _Carry, row_and_noise) -> tuple[_Carry, None]:
        row, drawn = row_and_noise
        if drawn is None:
            drawn = draw_noise(key, index, row["i"], (run.method.draws, *run.shape), carry.x.dtype)
        step = run.method.step(model, carry.x, row, drawn, carry.memory, condition)
        saved = _save(run, model, carry, row, step.x0, condition)
        failed_at = note_failures(carry.failed_at, step.x, row["step"])
        return _Carry(step.x, step.mean, step.memory, failed_at, saved), None

    return body


def _advance(run: _Run, model, key, index, carry: _Carry, condition, rows, noise) -> _Carry:
    return jax.lax.scan(_body(run, model, key, index, condition), carry, (rows, noise))[0]


def _save(run: _Run, model, carry: _Carry, row, x0, condition) -> PyTree:
    record = run.record
    if record is None:
        return None

    def keep(saved):
        mean = model.denoise(carry.x, row["t"], condition) if x0 is None else x0
        slot = row["i"] // run.save_every
        return jax.tree.map(lambda all_, one: all_.at[slot].set(one), saved, record(row["t"], carry.x, mean))

    return jax.lax.cond(row["i"] % run.save_every == 0, keep, lambda saved: saved, carry.saved)


def _finish(run: _Run, model, index, carry: _Carry, condition, rows) -> Samples:
    last = {"none": carry.x, "mean": carry.mean, "denoise": carry.x}[run.final]
    failed_at, calls = carry.failed_at, run.rows * run.method.evaluations
    if run.final == "denoise":
        last, _ = model.predict(carry.x, jnp.maximum(rows["s"][-1], model.sde.t_min), condition)
        failed_at, calls = note_failures(failed_at, last, rows["step"][-1] + 1), calls + 1
    if run.record is not None and not run.method.knows_x0:
        calls += -(-run.rows // run.save_every)
    nfe, pullbacks = (jnp.full(run.n, calls * each) for each in model.cost)
    return Samples(last, nfe, jnp.asarray(calls), failed_at, index, carry.saved, pullbacks)


def _all(run: _Run, model, key, index, x_init, condition, rows, noise) -> Samples:
    carry = _begin(run, model, key, index, x_init, condition, rows)
    carry, _ = jax.lax.scan(_body(run, model, key, index, condition), carry, (rows, noise))
    return _finish(run, model, index, carry, condition, rows)


_whole = jax.jit(_all, static_argnums=0)
_begin_jit = jax.jit(_begin, static_argnums=0)
_advance_jit = jax.jit(_advance, static_argnums=0)
_finish_jit = jax.jit(_finish, static_argnums=0)


# Randomness and failures, one sample at a time.


def latents(sde: SDE, key: Key[Array, ""], index: Int[Array, "n"], shape: tuple[int, ...], t: ArrayLike) -> Array:
    """Draws of the prior, scaled to σ(t) where sampling begins below t_max_sampling."""
    z = jax.vmap(lambda i: sde.prior_sample(jax.random.fold_in(jax.random.fold_in(key, i), 0), shape))(index)
    return z * (sde.sigma(t) / sde.sigma(sde.t_max_sampling)).astype(z.dtype)


def draw_noise(key: Key[Array, ""], index: Int[Array, "n"], i: ArrayLike, shape: tuple[int, ...], dtype) -> Array:
    """(draws, n, *shape) of standard normal noise for row i of every sample."""

    def one(number: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, number), 1 + i), shape, dtype)

    return jax.vmap(one, out_axes=1)(index)


def note_failures(failed_at: Int[Array, "n"], x: Array, step: ArrayLike) -> Int[Array, "n"]:
    """Note the step for the samples that are not finite now, unless they failed before."""
    finite = jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim)))
    return jnp.where(finite | (failed_at >= 0), failed_at, step)


def along(a: Any, x: Array) -> Array:
    """A coefficient of a row, shaped and typed to multiply x."""
    return per_sample(a, x)
