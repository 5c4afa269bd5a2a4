"""The classifier accuracy score (Ravuri & Vinyals 2019): do samples teach a classifier as much as data do?

Here the classifier is linear in the features, so that it takes seconds and has one solution.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import log_softmax

from score_sde.checks import require
from score_sde.evaluation.metrics.distances import Features, check
from score_sde.evaluation.metrics.estimate import Estimate

Labels = Int[np.ndarray, "_n"]


def classifier_accuracy(
    sample: Features, sample_labels: Labels, test: Features, test_labels: Labels, *, decay: float = 1e-3
) -> Estimate:
    """The accuracy on ``test`` of logistic regression trained on the sample, standardised by the sample's deviations.

    W minimises −mean log p(y|x) + ½ ``decay`` ‖W‖². The error is the binomial one of the test set alone.
    """
    check(sample, test)
    for x, y, name in ((sample, sample_labels, "sample"), (test, test_labels, "test")):
        require(len(x) == len(y), f"{name} has {len(x)} features and {len(y)} labels")
    mean, deviation = sample.mean(axis=0), sample.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1)
    weights, bias = fitted(
        (sample - mean) / scale, sample_labels, int(max(sample_labels.max(), test_labels.max())) + 1, decay
    )
    right = np.argmax((test - mean) / scale @ weights + bias, axis=1) == test_labels
    return Estimate(float(right.mean()), float(np.sqrt(right.mean() * (1 - right.mean()) / len(right))))


def fitted(
    x: Features, y: Labels, classes: int, decay: float
) -> tuple[Float[np.ndarray, "d classes"], Float[np.ndarray, "classes"]]:
    """(weights, bias) of logistic regression."""
    x = np.asarray(x, np.float64)
    n, d = x.shape
    target = np.eye(classes)[y]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[:-classes].reshape(d, classes), flat[-classes:]
        logs = log_softmax(x @ weights + bias, axis=1)
        slope = (np.exp(logs) - target) / n
        gradient = np.concatenate([(x.T @ slope + decay * weights).ravel(), slope.sum(axis=0)])
        return float(-np.sum(target * logs) / n + 0.5 * decay * np.sum(weights**2)), gradient

    found = minimize(loss, np.zeros((d + 1) * classes), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return found[:-classes].reshape(d, classes), found[-classes:]
