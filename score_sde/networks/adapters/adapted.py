"""A U-Net with adapters: the base keeps its weights, and each adapter changes what it computes in one of three places.

    weights    the base's own weights, such as LoRA
    context    the tokens that its cross-attentions see, such as an image prompt
    add        the features between encoder and decoder, such as ControlNet

Several adapters stack in their order.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.networks.blocks import Seeds, dropout_seeds
from score_sde.networks.cross_attention import Context
from score_sde.networks.ncsnpp import NCSNpp

Condition = Mapping[str, Array] | None


class Adapter(nnx.Module):
    """An adapter that changes nothing; subclasses define one of the three."""

    def weights(self, network: NCSNpp) -> NCSNpp:
        """The base with other weights."""
        return network

    def context(self, context: Context | None, condition: Condition) -> Context | None:
        """What the cross-attentions see."""
        return context

    def add(
        self,
        x: Array,
        noise_level: Array,
        condition: Condition,
        seeds: Seeds,
        h: Array,
        kept: list[Array],
    ) -> tuple[Array, list[Array]]:
        """(the features at the lowest resolution, the skip features)."""
        return h, kept


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Adapted:
    """The base with its adapters: a network, made by ``adapted``."""

    base: NCSNpp
    adapters: tuple[Any, ...]

    def __call__(
        self,
        x: Float[Array, "batch *spatial channels"],
        noise_level: Float[Array, "batch *two"],
        condition: Condition = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch *spatial out_channels"]:
        network, seeds = self.base, dropout_seeds(dropout_keys)
        for adapter in self.adapters:
            network = adapter.weights(network)
        network.check(x, noise_level)
        embedding, context = network.told(noise_level, condition)
        for adapter in self.adapters:
            context = adapter.context(context, condition)
        h, kept = network.encode(x, embedding, seeds, context)
        for adapter in self.adapters:
            h, kept = adapter.add(x, noise_level, condition, seeds, h, kept)
        return network.finished(network.decode(h, kept, embedding, seeds, context), x, noise_level)


def adapted(network: Any, *adapters: Any) -> Adapted:
    """The network with these adapters after those that it has."""
    if isinstance(network, Adapted):
        return dataclasses.replace(network, adapters=(*network.adapters, *adapters))
    check_base(network)
    return Adapted(network, adapters)


def innermost(network: Any) -> Any:
    """The network that adapters, if any, are around."""
    return network.base if isinstance(network, Adapted) else network


def check_base(network: Any) -> None:
    """Raise a ValueError unless adapters know the network's parts."""
    if not isinstance(network, NCSNpp):
        raise ValueError(
            f"the base is a {type(network).__name__}; adapters are for the U-Nets NCSNpp, ddpmpp and DDPM. The network of a "
            "discrete model is inside its wrapper"
        )


def zero(layer: Any) -> Any:
    """The layer with a kernel of zeros: what follows it is silent at first."""
    layer.kernel.set_value(jax.numpy.zeros_like(layer.kernel[...]))
    return layer


def leaf_of(condition: Condition, name: str, what: str) -> Array:
    """A leaf of the condition that an adapter needs."""
    leaf = None if condition is None else condition.get(name)
    if leaf is None:
        raise ValueError(f"this network is told condition[{name!r}], {what}; it is absent")
    return leaf


def weight_of(condition: Condition, name: str, batch: int) -> Float[Array, "batch"]:
    """The weight of an adapter for each example, 1 unless the condition says otherwise."""
    weight = None if condition is None else condition.get(name)
    return jax.numpy.ones(batch) if weight is None else jax.numpy.broadcast_to(weight, (batch,))
