"""Large numbers of samples, batch by batch on all devices."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from score_sde import devices
from score_sde.checks import Nothing, require, some_of
from score_sde.denoiser import Condition, check_condition
from score_sde.flow_map import Drawable
from score_sde.progress import Progress, compiling
from score_sde.randomness import check_key
from score_sde.samplers.multistep import dpm_solver
from score_sde.samplers.samples import Samples


def generate(
    model: Drawable,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    sampler: Callable[..., Samples] = dpm_solver,
    batch_size: int = 64,
    start: int = 0,
    condition: Condition = None,
    x_init: ArrayLike | None = None,
    progress: bool = True,
    **options,
) -> Iterator[Samples]:
    """Yield samples ``start`` … n − 1 in finished batches, drawn by any sampler on all devices.

    Sample i depends on (key, i) alone, not on the batch size or the devices (except with Langevin's ``norms="batch"``;
    and an adaptive solver may choose other steps where rounding differs, within its tolerance). To continue an
    interrupted run, set ``start`` to the first missing index; ``batch.index`` holds the indices of a batch.
    condition and x_init cover all n samples. Samplers on a fixed grid run in compiled chunks of up to 50 steps, so
    the bar moves and Ctrl-C works. Failed samples are reported as warnings.
    """
    check_key(key)
    require(isinstance(n, int) and n >= 1, f"n = {n!r}; give a whole number of samples >= 1")
    require(isinstance(start, int) and 0 <= start <= n, f"start = {start!r}; allowed: 0 to n = {n}")
    require(isinstance(batch_size, int) and batch_size >= 1, f"batch_size = {batch_size!r}; it must be at least 1")
    given = (condition, x_init)
    check_condition(given, jnp.empty((n, 0)))
    return _batches(model, key, n, shape, sampler, batch_size, start, given, progress, options)


def _batches(model, key, n, shape, sampler, batch_size, start, given, progress, options) -> Iterator[Samples]:
    mesh = devices.mesh()
    size = devices.round_up(min(batch_size, n - start), mesh)  # one compiled size, the same on every device
    split, everywhere = devices.divided(mesh), devices.whole(mesh)
    model, key = devices.put((model, key), everywhere)
    bar = Progress(n - start, enabled=progress)
    chunked = takes_loop_options(sampler)
    for first in range(start, n, size):
        index = np.arange(first, first + size)
        count = min(size, n - first)
        rows = np.minimum(index, n - 1)  # the last batch is padded, and cut afterwards
        condition, x_init = jax.tree.map(lambda leaf: devices.put(np.asarray(leaf)[rows], split), given)  # noqa: B023
        arguments = dict(condition=condition, x_init=x_init, start=devices.put(index, split), **options)
        if chunked:
            arguments.setdefault("progress", bar.within(count))
        with compiling("the sampler", enabled=progress and first == start):
            samples = jax.block_until_ready(sampler(model, key, size, shape, **arguments))
        samples = first_samples(samples, count, size)
        bar.advance(count)
        report_failures(samples)
        yield samples
    bar.close()


def takes_loop_options(sampler: Callable) -> bool:
    """Whether a sampler passes options on to the loop over a fixed grid, which reports its progress."""
    parameters = inspect.signature(sampler).parameters.values()
    return any(p.kind is p.VAR_KEYWORD and p.annotation != Unpack[Nothing] for p in parameters)


def first_samples(samples: Samples, count: int, size: int) -> Samples:
    """The first ``count`` samples of a padded batch."""
    if count == size:
        return samples
    own = {name: getattr(samples, name)[:count] for name in ("x", "nfe", "failed_at", "index", "pullbacks")}
    return dataclasses.replace(samples, **own)


def report_failures(samples: Samples) -> None:
    """Warn about the samples that failed."""
    failed_at, index = map(np.asarray, devices.gathered((samples.failed_at, samples.index)))
    bad = np.flatnonzero(failed_at >= 0)
    if len(bad):
        some = some_of([f"sample {index[i]} at step {failed_at[i]}" for i in bad], 5)
        warnings.warn(
            f"{len(bad)} of {len(index)} samples failed: {some}. They became non-finite, or their adaptive "
            "solver ran out of steps; look at the model's output there, or take more steps or a looser tolerance",
            RuntimeWarning,
            stacklevel=3,
        )
