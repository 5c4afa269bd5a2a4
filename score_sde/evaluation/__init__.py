"""Evaluation of models: evaluators, and a resumable pass over held-out examples or samples that feeds them."""

from score_sde.evaluation.accuracy_per_level import AccuracyPerLevel
from score_sde.evaluation.agreement import Agreement
from score_sde.evaluation.bits_per_dim import BitsPerDim
from score_sde.evaluation.comparison import METRICS, compare
from score_sde.evaluation.conditional_accuracy import ConditionalAccuracy
from score_sde.evaluation.evaluator import Evaluator, PerExample, Subject
from score_sde.evaluation.held_out_loss import HeldOutLoss
from score_sde.evaluation.loss_per_level import LossPerLevel
from score_sde.evaluation.metrics import cmmd, fld, frechet, inception_score, kid, prdc, sliced_w2, vendi
from score_sde.evaluation.one_pass import evaluate
from score_sde.evaluation.posterior_draws import PosteriorDraws
from score_sde.evaluation.references import References, statistics_of
from score_sde.evaluation.report import write_report
from score_sde.evaluation.restoration import Restoration
from score_sde.evaluation.sample_quality import SampleQuality
from score_sde.evaluation.save_samples import SaveSamples
from score_sde.evaluation.statistics import FeatureStatistics, Statistics
from score_sde.evaluation.stream import Stream, examples, samples

__all__ = [
    "METRICS",
    "AccuracyPerLevel",
    "Agreement",
    "BitsPerDim",
    "ConditionalAccuracy",
    "Evaluator",
    "FeatureStatistics",
    "HeldOutLoss",
    "LossPerLevel",
    "PerExample",
    "PosteriorDraws",
    "References",
    "Restoration",
    "SampleQuality",
    "SaveSamples",
    "Statistics",
    "Stream",
    "Subject",
    "cmmd",
    "compare",
    "evaluate",
    "examples",
    "fld",
    "frechet",
    "inception_score",
    "kid",
    "prdc",
    "samples",
    "sliced_w2",
    "statistics_of",
    "vendi",
    "write_report",
]
