"""Features of images: what FID and its kin are computed from."""

from score_sde.evaluation.features.dinov2 import dinov2
from score_sde.evaluation.features.efficientnet import efficientnet_lite0
from score_sde.evaluation.features.extractor import Extractor
from score_sde.evaluation.features.inception import inception
from score_sde.evaluation.features.resize import RESIZES
from score_sde.evaluation.features.simple import classifier, function, pca, pixels

__all__ = [
    "RESIZES",
    "Extractor",
    "classifier",
    "dinov2",
    "efficientnet_lite0",
    "function",
    "inception",
    "pca",
    "pixels",
]
