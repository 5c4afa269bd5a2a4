"""A summary of a network: resolution, channels, parameters and floating-point operations of each part."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from score_sde.networks.embed import Frozen


def describe(network: nnx.Module, shape: Sequence[int], condition: Any = None) -> str:
    """A table with one row per part (for a U-Net: per level), for one example of this shape (*spatial, channels).

    FLOPs count convolutions and matrix products, 2 per multiplication, in the traced program: nothing is computed, and
    the network may be abstract (``nnx.eval_shape``). A part is a submodule, or an entry of a list of submodules, that
    the network calls under its name (``jax.named_scope``). ``condition``: one for a network that needs it, (1, ...).
    """
    graph, state = nnx.split(network)
    x, level = jax.ShapeDtypeStruct((1, *shape), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)

    def call(state, x, level, condition):
        network: Any = nnx.merge(graph, state)
        return network(x, level) if condition is None else network(x, level, condition)

    program = jax.make_jaxpr(call)(state, x, level, condition)

    parameters: dict[str, int] = {}
    for path, variable in nnx.to_flat_state(nnx.state(network, nnx.Param)):
        part = ".".join(map(str, path[:2])) if isinstance(path[1], int) else str(path[0])
        parameters[part] = parameters.get(part, 0) + math.prod(variable.shape)
    flops: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for scopes, out_shape, count in _products(program.jaxpr, ()):
        part = next((scope for scope in scopes if scope in parameters), "(no part)")
        flops[part] = flops.get(part, 0) + count
        shapes.setdefault(part, out_shape[1:])  # of the part's first product: a level resamples at its end

    lines = [_HEADING]
    for part in {**flops, **parameters}:
        *spatial, channels = shapes.get(part, ("-",))
        lines.append(_row(part, "x".join(map(str, spatial)), channels, parameters.get(part, 0), flops.get(part, 0)))
    lines.append(_row("total", "", "", sum(parameters.values()), sum(flops.values())))
    frozen = sum(math.prod(variable.shape) for _, variable in nnx.to_flat_state(nnx.state(network, Frozen)))
    return "\n".join([*lines, f"and {frozen:,} frozen parameters"] if frozen else lines)


_HEADING = f"{'part':<18}{'resolution':>12}{'channels':>10}{'parameters':>14}{'MFLOPs':>12}"


def _row(part: str, resolution: str, channels: Any, parameters: int, flops: int) -> str:
    return f"{part:<18}{resolution:>12}{channels:>10}{parameters:>14,}{flops / 1e6:>12,.1f}"


def _products(program: Any, scopes: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], tuple[int, ...], int]]:
    """Every convolution and matrix product of a traced program: the scopes around it, its output's shape, its FLOPs."""
    for equation in program.eqns:
        inside = scopes + tuple(str(equation.source_info.name_stack).split("/"))
        for value in equation.params.values():
            if isinstance(value, tuple) and value:  # alternatives per platform: the default one
                value = value[-1]
            if hasattr(value, "jaxpr") or hasattr(value, "eqns"):
                yield from _products(getattr(value, "jaxpr", value), inside)
        name = equation.primitive.name  # "conv_y" is the primitive of ``networks.cpu``
        if name not in ("conv_y", "conv_general_dilated", "dot_general"):
            continue
        out = equation.outvars[0].aval.shape
        left, right = (operand.aval.shape for operand in equation.invars[:2])
        if name != "dot_general":
            terms = math.prod(right[:-1])  # kernel (*size, in, out)
        else:
            contracted = equation.params["dimension_numbers"][0][0]
            terms = math.prod(left[axis] for axis in contracted)
        yield inside, out, 2 * math.prod(out) * terms
