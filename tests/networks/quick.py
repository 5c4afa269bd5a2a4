"""Networks to test on, without the time that compiling takes: it is all that tests of small networks wait for."""

import functools
import math
import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.flags import OPTIONS

# Compilation without optimisation: these programs run once.
quick_jit = functools.partial(jax.jit, compiler_options=OPTIONS)


def draw(make: Callable[[], nnx.Module], seed: int = 0) -> nnx.Module:
    """The network with weights from numpy: kernels of variance 1/fan in, scales near 1, biases that are not zero."""
    network = nnx.eval_shape(make)
    state = nnx.state(network)
    for path, variable in nnx.to_flat_state(state):
        name = ".".join(map(str, path))  # a network with one more parameter keeps the values of the others
        noise = np.random.default_rng([seed, zlib.crc32(name.encode())]).normal(size=variable.shape)
        if path[-1] == "scale":
            noise = 1 + 0.1 * noise
        elif path[-1] == "bias":
            noise = 0.1 * noise
        elif path[-1] == "kernel":
            noise = noise / math.sqrt(math.prod(variable.shape[:-1]))
        variable.set_value(jnp.asarray(noise, variable.dtype))
    nnx.update(network, state)
    return network
