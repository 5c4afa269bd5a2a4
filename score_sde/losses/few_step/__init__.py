"""Losses of flow maps X(x_t, t, s), for sampling in one step or a few.

Each is a function (flow_map, x0, keys, condition, *, ...) -> (batch,). What it learns from is given beside:

    teacher    a denoiser, whose flow the map is to learn; some losses learn from data without one
    target     the map with an average of its parameters, in the place of itself without gradient
    step       the number of the training step, for schedules

``score_sde.tasks.Distillation`` gives a loss those that it takes.
"""

from score_sde.losses.few_step.consistency import (
    consistency,
    continuous_consistency,
    doubling,
    easy_consistency,
    growing,
)
from score_sde.losses.few_step.diagonal import diagonal, reflow
from score_sde.losses.few_step.distances import adaptive, mean_squares, pseudo_huber
from score_sde.losses.few_step.maps import eulerian, improved_mean_flow, lagrangian, mean_flow
from score_sde.losses.few_step.pairs import Pairs, Sorted, ToData
from score_sde.losses.few_step.steps import progressive, shortcut

__all__ = [
    "Pairs",
    "Sorted",
    "ToData",
    "adaptive",
    "consistency",
    "continuous_consistency",
    "diagonal",
    "doubling",
    "easy_consistency",
    "eulerian",
    "growing",
    "improved_mean_flow",
    "lagrangian",
    "mean_flow",
    "mean_squares",
    "progressive",
    "pseudo_huber",
    "reflow",
    "shortcut",
]
