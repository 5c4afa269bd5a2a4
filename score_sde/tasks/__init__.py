"""Training tasks: a model, its loss and its evaluators. See ``score_sde.training.task`` for the protocol."""

from score_sde.tasks.adaptation import Adaptation
from score_sde.tasks.classifier import Classifier
from score_sde.tasks.diffusion import Diffusion
from score_sde.tasks.distillation import Distillation
from score_sde.tasks.distribution_matching import DistributionMatching
from score_sde.tasks.variational import Variational

__all__ = ["Adaptation", "Classifier", "Diffusion", "Distillation", "DistributionMatching", "Variational"]
