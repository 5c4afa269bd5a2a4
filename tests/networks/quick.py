"""Compilation without optimisation: these programs are run once, and compiling them is what takes the time."""

import functools

import jax

quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
