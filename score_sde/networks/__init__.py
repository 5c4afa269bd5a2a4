"""Score networks: plain modules ``network(x, noise_level, condition=None, *, dropout_keys=None)``.

They know no SDE and no config, and hold no random state; dropout is on when it is given one key for each example.

A config gives a constructor those of these that it has parameters for: rngs; shape, image_size, channels, spatial_dims,
num_classes; sigmas, data_in_unit_range. All its other parameters are fields of ``config.network``.
"""

from score_sde.networks.adapters import Concatenation, ControlNet, Identity, ImageTokens, LoRA, adapted
from score_sde.networks.adm import ADM, ADMClassifier
from score_sde.networks.classifier import Classifier, VectorClassifier
from score_sde.networks.ddpm import DDPM
from score_sde.networks.describe import describe
from score_sde.networks.discrete import NoiseToScore
from score_sde.networks.mlp import MLP, ResNet
from score_sde.networks.ncsnpp import NCSNpp, ddpmpp
from score_sde.networks.refine import RefineNet, ncsn, ncsnv2_64, ncsnv2_128, ncsnv2_256
from score_sde.networks.wide_resnet import WideResNet

__all__ = [
    "ADM", "DDPM", "MLP", "ADMClassifier", "Classifier", "Concatenation", "ControlNet", "Identity", "ImageTokens",
    "LoRA", "NCSNpp", "NoiseToScore", "RefineNet", "ResNet", "VectorClassifier", "WideResNet", "adapted", "ddpmpp",
    "describe", "ncsn", "ncsnv2_64", "ncsnv2_128", "ncsnv2_256",
]  # fmt: skip
