"""What XLA's CPU backend must not fuse, because it would compute it again for each of its readers.

XLA fuses a sum into every operation that reads it, with all the sums that it was made from: the fifth residual block of
a level reads five arrays where one would do, four times over. These two functions give a value one place in memory.
"""

import functools
from collections.abc import Callable

import jax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array

from score_sde.networks.cpu.primitives import self_adjoint


def apart(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function as one computation, which XLA neither inlines nor fuses with what stands around it."""
    compiled = jax.jit(function)
    return functools.wraps(function)(lambda *operands: set_xla_metadata(compiled(*operands), inlineable="false"))


def _identity(x: Array) -> Array:
    return x


written = self_adjoint("written", apart(_identity), _identity)
"""x, and its tangents and cotangents, written to memory once by a CPU. GPUs and TPUs fuse as they like."""
