"""What tells a network more: adapters of a trained U-Net, whose weights stay, and images beside the input."""

from score_sde.networks.adapters.adapted import Adapted, Adapter, adapted, innermost
from score_sde.networks.adapters.concatenation import Concatenation
from score_sde.networks.adapters.control import ControlNet
from score_sde.networks.adapters.identity import Identity
from score_sde.networks.adapters.image_tokens import ImageTokens
from score_sde.networks.adapters.lora import LoRA, merged

__all__ = [
    "Adapted",
    "Adapter",
    "Concatenation",
    "ControlNet",
    "Identity",
    "ImageTokens",
    "LoRA",
    "adapted",
    "innermost",
    "merged",
]
