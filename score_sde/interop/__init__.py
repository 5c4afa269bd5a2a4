"""Formats of other libraries, one folder per family: models and config files of score_sde_pytorch, both ways."""

from score_sde.interop.score_sde.checkpoints import from_score_sde_pytorch, load_score_sde_pytorch
from score_sde.interop.score_sde.export import export, to_score_sde_pytorch
from score_sde.interop.score_sde.translate import read_config

__all__ = [
    "export",
    "from_score_sde_pytorch",
    "load_score_sde_pytorch",
    "read_config",
    "to_score_sde_pytorch",
]
