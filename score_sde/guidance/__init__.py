"""Functions from denoiser to denoiser: samplers and likelihood never know that a model is guided."""

from score_sde.guidance.classifier import ClassifierGuided, NoisyClassifier, classifier
from score_sde.guidance.classifier_free import ClassifierFree, classifier_free

__all__ = ["ClassifierFree", "ClassifierGuided", "NoisyClassifier", "classifier", "classifier_free"]
