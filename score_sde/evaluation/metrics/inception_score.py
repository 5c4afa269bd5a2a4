"""The Inception score (Salimans et al. 2016)."""

import numpy as np
from jaxtyping import Float
from scipy.special import log_softmax

from score_sde.checks import require
from score_sde.evaluation.metrics.estimate import Estimate


def inception_score(logits: Float[np.ndarray, "n classes"], *, splits: int = 10, seed: int | None = 0) -> Estimate:
    """exp(E KL(p(y|x) ‖ p(y))), the mean over splits of the sample.

    ``seed``: shuffles the sample first (as torch-fidelity does); None: in the given order (as ADM does, in splits of
    5000). Logits are to be those of the Inception network without bias. It falls with the size of a split.
    """
    require(1 <= splits <= len(logits), f"splits = {splits}; allowed: from 1 to the number of samples, {len(logits)}")
    log_p = log_softmax(np.asarray(logits, np.float64), axis=1)
    if seed is not None:
        log_p = log_p[np.random.default_rng(seed).permutation(len(log_p))]
    scores = [_score(part) for part in np.array_split(log_p, splits)]
    error = float(np.std(scores, ddof=1) / np.sqrt(splits)) if splits > 1 else None
    return Estimate(float(np.mean(scores)), error)


def _score(log_p: np.ndarray) -> float:
    p = np.exp(log_p)
    marginal = np.log(p.mean(axis=0) + np.finfo(float).tiny)
    return float(np.exp(np.mean(np.sum(p * (log_p - marginal), axis=1))))
