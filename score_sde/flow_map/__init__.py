"""Flow maps: models that cross the probability flow from one time to any other in one evaluation."""

from score_sde.flow_map.base import Diagonal, FlowMap
from score_sde.flow_map.consistency import Consistency, consistency
from score_sde.flow_map.integrated import Integrated, integrated
from score_sde.flow_map.network import NetworkFlowMap, student_of

__all__ = [
    "Consistency",
    "Diagonal",
    "FlowMap",
    "Integrated",
    "NetworkFlowMap",
    "consistency",
    "integrated",
    "student_of",
]
