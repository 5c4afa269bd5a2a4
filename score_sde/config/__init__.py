"""The one place where the strings of a config become objects, and where a bad config gets its message.

The fields have the names of the original's configs. A field that only we have is optional, with the default that
leaves the original's behaviour as it was; ``fields`` lists them all.
"""

from score_sde.config.access import choose, get, import_path, sample_shape
from score_sde.config.data import build_conditions, build_scaling, build_source
from score_sde.config.fields import FIELDS, check, complete, differences
from score_sde.config.network import build_network
from score_sde.config.process import build_model, build_sde
from score_sde.config.sampler import build_sampler
from score_sde.config.training import build_averages, build_hooks, build_loss, build_optimizer, build_parallel

__all__ = [
    "FIELDS",
    "build_averages",
    "build_conditions",
    "build_hooks",
    "build_loss",
    "build_model",
    "build_network",
    "build_optimizer",
    "build_parallel",
    "build_sampler",
    "build_scaling",
    "build_sde",
    "build_source",
    "check",
    "choose",
    "complete",
    "differences",
    "get",
    "import_path",
    "sample_shape",
]
