"""Statistics of features: moments of all examples, features of some, and the settings that both depend on."""

from score_sde.evaluation.statistics.collect import FeatureStatistics, collected
from score_sde.evaluation.statistics.files import is_statistics, read, write
from score_sde.evaluation.statistics.statistics import KEEP, Statistics, check_comparable, check_features

__all__ = [
    "KEEP",
    "FeatureStatistics",
    "Statistics",
    "check_comparable",
    "check_features",
    "collected",
    "is_statistics",
    "read",
    "write",
]
