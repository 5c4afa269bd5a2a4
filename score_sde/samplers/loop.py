"""The loop shared by all samplers on a fixed grid.

A ``Method`` defines one step; the loop does everything else: the latents, the noise, the scan over the grid, the
recording, the detection of failed samples, and the final noiseless step. It is one compiled function; nothing
returns to the host between steps. Sample i depends on (key, i) alone.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Key, PyTree

from score_sde.checks import no_others, require
from score_sde.denoiser import Condition
from score_sde.flow_map import Drawable
from score_sde.randomness import check_key
from score_sde.samplers import grids
from score_sde.samplers.method import Method, make_rows
from score_sde.samplers.options import Final, Options, check_arguments
from score_sde.samplers.samples import Samples, draw_noise, latents, note_failures


def solve(
    method: Method,
    model: Drawable,
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


class _Run(NamedTuple):
    """The static arguments."""

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
