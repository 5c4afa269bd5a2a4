"""Guidance maps a denoiser to a denoiser, which samplers and likelihoods use like any other."""

from score_sde.guidance.classifier import ClassifierGuided, NoisyClassifier, classifier
from score_sde.guidance.classifier_free import ClassifierFree, classifier_free

__all__ = ["ClassifierFree", "ClassifierGuided", "NoisyClassifier", "classifier", "classifier_free"]
