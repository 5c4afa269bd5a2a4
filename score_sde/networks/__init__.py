"""Score networks: plain modules ``network(x, noise_level, condition=None, *, dropout_keys=None)``.

They depend on no SDE or config and have no random state; dropout is active if one key per example is given.
"""

from score_sde.networks.classifier import Classifier, VectorClassifier
from score_sde.networks.ddpm import DDPM
from score_sde.networks.describe import describe
from score_sde.networks.discrete import NoiseToScore
from score_sde.networks.mlp import MLP, ResNet
from score_sde.networks.ncsnpp import NCSNpp, ddpmpp

__all__ = [
    "DDPM", "MLP", "Classifier", "NCSNpp", "NoiseToScore", "ResNet", "VectorClassifier", "ddpmpp", "describe",
]  # fmt: skip
