"""Metrics of plain arrays: features (n, d), logits (n, classes), images (n, h, w, c).

They are computed in float64 on the host. Which features, and how they were made, stands in every result of an evaluation
(``score_sde.evaluation``): a number without it cannot be compared.
"""

from score_sde.evaluation.metrics.classifier_accuracy import classifier_accuracy
from score_sde.evaluation.metrics.estimate import Estimate
from score_sde.evaluation.metrics.frechet import frechet, frechet_infinity, frechet_jackknife
from score_sde.evaluation.metrics.inception_score import inception_score
from score_sde.evaluation.metrics.kernels import cmmd, kid, kid_of_subsets
from score_sde.evaluation.metrics.likelihood_divergence import fld
from score_sde.evaluation.metrics.memorisation import authpct, c_t
from score_sde.evaluation.metrics.moments import Moments
from score_sde.evaluation.metrics.prdc import PRDC, prdc
from score_sde.evaluation.metrics.similarity import ms_ssim, psnr, ssim
from score_sde.evaluation.metrics.sliced import sliced_w2
from score_sde.evaluation.metrics.vendi import vendi

__all__ = [
    "PRDC",
    "Estimate",
    "Moments",
    "authpct",
    "c_t",
    "classifier_accuracy",
    "cmmd",
    "fld",
    "frechet",
    "frechet_infinity",
    "frechet_jackknife",
    "inception_score",
    "kid",
    "kid_of_subsets",
    "ms_ssim",
    "prdc",
    "psnr",
    "sliced_w2",
    "ssim",
    "vendi",
]
