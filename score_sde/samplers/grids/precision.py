"""Coefficients that depend only on a grid, in float64."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from score_sde.checks import is_concrete


def in_double(function: Callable, arrays: tuple, static: tuple = ()):
    """``function(*arrays, *static)`` in float64, as NumPy arrays, if all arrays are concrete; unchanged otherwise.

    Differences of log-SNRs lose digits in float32, and float64 is cheap for values that depend only on the grid. This
    also works inside an outer jit, as long as the SDE and the times are not themselves traced.
    """
    if not all(is_concrete(leaf) for leaf in jax.tree.leaves(arrays)):
        return function(*arrays, *static)
    # Not jax.ensure_compile_time_eval: it compiles each operation separately, which takes seconds.
    with jax.enable_x64(True), jax.core.eval_context():
        return jax.tree.map(np.asarray, _evaluate(function, static, arrays))


def _call(function: Callable, static: tuple, arrays: tuple):
    return function(*[jnp.asarray(a, float) if isinstance(a, np.ndarray | Array) else a for a in arrays], *static)


_evaluate = jax.jit(_call, static_argnums=(0, 1))
