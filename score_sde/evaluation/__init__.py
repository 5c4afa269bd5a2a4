"""Evaluation of models: evaluators, and a resumable pass over held-out examples or samples that feeds them."""

from score_sde.evaluation.accuracy_per_level import AccuracyPerLevel
from score_sde.evaluation.bits_per_dim import BitsPerDim
from score_sde.evaluation.evaluator import Evaluator, PerExample, Subject
from score_sde.evaluation.held_out_loss import HeldOutLoss
from score_sde.evaluation.loss_per_level import LossPerLevel
from score_sde.evaluation.metrics import cmmd, fld, frechet, inception_score, kid, prdc, sliced_w2, vendi
from score_sde.evaluation.one_pass import evaluate
from score_sde.evaluation.save_samples import SaveSamples
from score_sde.evaluation.stream import Stream, examples, samples

__all__ = [
    "AccuracyPerLevel",
    "BitsPerDim",
    "Evaluator",
    "HeldOutLoss",
    "LossPerLevel",
    "PerExample",
    "SaveSamples",
    "Stream",
    "Subject",
    "cmmd",
    "evaluate",
    "examples",
    "fld",
    "frechet",
    "inception_score",
    "kid",
    "prdc",
    "samples",
    "sliced_w2",
    "vendi",
]
