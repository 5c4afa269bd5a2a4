"""Guidance maps a denoiser to a denoiser, which samplers and likelihoods use like any other.

    classifier_free(model, w, null=)       from what the model says untold to what it says told
    projected(model, w, null=, eta=)       the same, across x̂ only and with a bounded norm
    classifier(model, classifier, w)       by the gradient of a classifier of noisy data
    auto(good, bad, w)                     from a bad model to a good one
    sum_of(model, (w, guided), ...)        several guidances of one model, each by what it changes

They nest, and cost what they evaluate:

    classifier(classifier(model, a, w), b, v)    adds both gradients; no ``sum_of`` is needed
    classifier(classifier_free(...), a, v, keep=True)    adds the gradient to ε̂; the classifier stands outside, because
        inside it would also see the null label
    auto(classifier_free(good, ...), bad, v)    extrapolates from the bad model to the guided one
    classifier_free(classifier_free(model, w, null=a), v, null=b)    has four evaluations with the products of both scales:
        an interaction of a and b, which ``sum_of`` does not have
"""

from score_sde.guidance.auto import AutoGuided, auto
from score_sde.guidance.classifier import ClassifierGuided, NoisyClassifier, classifier
from score_sde.guidance.classifier_free import ClassifierFree, classifier_free
from score_sde.guidance.projected import Projected, projected
from score_sde.guidance.scale import OverLogSNR
from score_sde.guidance.sums import Sum, sum_of
from score_sde.guidance.told import Told, told

__all__ = [
    "AutoGuided", "ClassifierFree", "ClassifierGuided", "NoisyClassifier", "OverLogSNR", "Projected", "Sum", "Told",
    "auto", "classifier", "classifier_free", "projected", "sum_of", "told",
]  # fmt: skip
