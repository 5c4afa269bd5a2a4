"""A marker for functions without forward mode, which gives a clear error."""

import functools
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def reverse_only(x: Array, why: str) -> Array:
    """x. Reverse mode works; forward mode (``jax.jvp``, ``jax.linearize``, ``jax.jacfwd``) raises an error: ``why``."""
    return x


@reverse_only.defjvp
def _reverse_only_jvp(why: str, primals: tuple, tangents: tuple) -> tuple:
    return reverse_only(primals[0], why), _TANGENT.bind(tangents[0], why=why)


def _refuse(tangent: Any, *, why: str) -> Any:
    raise NotImplementedError(why)


# Reverse mode transposes the tangent without evaluating it; only forward mode evaluates it.
_TANGENT = Primitive("reverse_only")
_TANGENT.def_impl(_refuse)
_TANGENT.def_abstract_eval(lambda tangent, *, why: tangent)
ad.deflinear2(_TANGENT, lambda cotangent, tangent, *, why: [cotangent])
batching.defvectorized(_TANGENT)
mlir.register_lowering(_TANGENT, lambda context, tangent, *, why: _refuse(tangent, why=why))
