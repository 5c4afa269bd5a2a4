"""Forward processes: an SDE is defined by α(t) and σ(t); see ``base.py``."""

from score_sde.sde.base import SDE
from score_sde.sde.flow_matching import FlowMatching
from score_sde.sde.variance_exploding import EDM, VE
from score_sde.sde.variance_preserving import VP, Cosine, CosineChain, SubVP

__all__ = ["EDM", "SDE", "VE", "VP", "Cosine", "CosineChain", "FlowMatching", "SubVP"]
