"""Flow maps: models that cross the probability flow from one time to any other in one evaluation."""

from score_sde.flow_map.base import Diagonal, Drawable, FlowMap, without_dropout
from score_sde.flow_map.integrated import Integrated, integrated
from score_sde.flow_map.network import NetworkFlowMap, student_of
from score_sde.flow_map.one_step import Consistency, OneStep, consistency, ddim

__all__ = [
    "Consistency",
    "Diagonal",
    "Drawable",
    "FlowMap",
    "Integrated",
    "NetworkFlowMap",
    "OneStep",
    "consistency",
    "ddim",
    "integrated",
    "student_of",
    "without_dropout",
]
