"""Other people's formats."""

from score_sde.interop.score_sde_pytorch import from_score_sde_pytorch

__all__ = ["from_score_sde_pytorch"]
