"""Formats of other libraries, one folder per family: models of score_sde_pytorch, NCSN and guided-diffusion, both ways;
config files of score_sde.
"""

from score_sde.interop.export import export, to_score_sde_pytorch
from score_sde.interop.loading import load_foreign
from score_sde.interop.lora import read_lora, write_lora
from score_sde.interop.score_sde.checkpoints import from_score_sde_pytorch, load_score_sde_pytorch
from score_sde.interop.score_sde.translate import read_config

__all__ = [
    "export",
    "from_score_sde_pytorch",
    "load_foreign",
    "load_score_sde_pytorch",
    "read_config",
    "read_lora",
    "to_score_sde_pytorch",
    "write_lora",
]
