"""Barriers that keep XLA's CPU backend from recomputing a value for each of its uses.

XLA fuses a sum, together with the sums in it, into every operation that uses it: the fifth residual block of a level
reads five arrays instead of one, four times over. These two functions store a value in memory.
"""

import functools
from collections.abc import Callable

import jax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array

from score_sde.networks.cpu.primitives import self_adjoint


def apart(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function as a separate computation, which XLA neither inlines nor fuses with other operations."""
    compiled = jax.jit(function)
    return functools.wraps(function)(lambda *operands: set_xla_metadata(compiled(*operands), inlineable="false"))


def _identity(x: Array) -> Array:
    return x


written = self_adjoint("written", apart(_identity), _identity)
"""x; on a CPU, it and its tangents and cotangents are stored in memory. GPUs and TPUs may fuse freely."""
