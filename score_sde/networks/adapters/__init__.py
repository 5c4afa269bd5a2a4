"""Networks around a network, that tell it more: each is itself a network."""

from score_sde.networks.adapters.concatenation import Concatenation

__all__ = ["Concatenation"]
