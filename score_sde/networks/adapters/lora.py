"""LoRA (Hu et al. 2022): a change of low rank of some of a network's matrices.

W + (α/r) A B,     A (inputs, r) random, B (r, outputs) zero at first;   a k x k convolution has A k x k and B 1 x 1
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from score_sde.checks import require
from score_sde.networks.adapters.adapted import Adapter, check_base
from score_sde.networks.ncsnpp import NCSNpp

ATTENTION = r"(query|key|value|out)\.kernel$"


class LoRA(Adapter):
    """``match``: a regular expression for the names of kernels, by default those of attentions. ``alpha``: r by default."""

    def __init__(
        self, base: NCSNpp, *, rank: int = 4, alpha: float | None = None, match: str = ATTENTION, rngs: nnx.Rngs
    ):
        check_base(base)
        require(rank >= 1, f"rank = {rank}; allowed: 1 or more")
        chosen = [(name, variable) for name, variable in kernels(base).items() if re.search(match, name)]
        require(bool(chosen), f"match = {match!r} fits no kernel of the base; there are {_some(base)}")
        self.names = tuple(name for name, _ in chosen)
        self.down = nnx.List(nnx.Param(_first(rngs.params(), v.shape, rank)) for _, v in chosen)
        self.up = nnx.List(nnx.Param(jnp.zeros((rank, v.shape[-1]))) for _, v in chosen)
        self.rank = rank
        self.alpha = float(rank if alpha is None else alpha)

    def weights(self, network: NCSNpp) -> NCSNpp:
        graph, state = nnx.split(network)
        changes = dict(self.changes())
        missing = sorted(changes.keys() - kernels(state).keys())
        require(
            not missing, f"this LoRA is for another network: {len(missing)} kernels are missing, such as {missing[:3]}"
        )
        return nnx.merge(graph, nnx.from_flat_state(list(_changed(state, changes))))

    def changes(self) -> Iterator[tuple[str, Array]]:
        """(the name of a kernel, (α/r) A B)."""
        for name, down, up in zip(self.names, self.down, self.up, strict=True):
            yield name, self.alpha / self.rank * (down[...] @ up[...])


def merged(network: NCSNpp, lora: LoRA) -> NCSNpp:
    """A network of its own, with the change in its weights."""
    return lora.weights(network)


def _changed(state: Any, changes: Mapping[str, Array]) -> Iterator[tuple[tuple, Any]]:
    """The variables by path, with changes added to kernels; new variables, so that the base keeps its own."""
    for path, variable in nnx.to_flat_state(state):
        name = _name(path)
        if name in changes:
            require(
                variable.shape == changes[name].shape,
                f"this LoRA is for another network: {name} is {variable.shape}, its change {changes[name].shape}",
            )
            variable = variable.replace(variable[...] + changes[name].astype(variable.dtype))
        yield path, variable


def kernels(network: Any) -> dict[str, Any]:
    """The kernels of a module or its state by name."""
    state = network if isinstance(network, nnx.State) else nnx.state(network, nnx.Param)
    return {_name(path): variable for path, variable in nnx.to_flat_state(state) if path[-1] == "kernel"}


def _name(path: tuple) -> str:
    return ".".join(map(str, path))


def _first(key: Array, shape: tuple[int, ...], rank: int) -> Array:
    """A uniform draw of variance 1/(3 fan-in), as PyTorch's layers begin."""
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    return jax.random.uniform(key, (*shape[:-1], rank), minval=-bound, maxval=bound)


def _some(base: NCSNpp) -> str:
    names = list(kernels(base))
    return ", ".join(names[:: max(len(names) // 6, 1)])
