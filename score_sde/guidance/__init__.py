"""Guidance maps a denoiser to a denoiser, so samplers and likelihoods treat a guided model like any other."""

from score_sde.guidance.classifier import ClassifierGuided, NoisyClassifier, classifier
from score_sde.guidance.classifier_free import ClassifierFree, classifier_free

__all__ = ["ClassifierFree", "ClassifierGuided", "NoisyClassifier", "classifier", "classifier_free"]
