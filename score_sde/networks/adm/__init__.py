"""The U-Net of iDDPM (Nichol & Dhariwal 2021) and ADM (Dhariwal & Nichol 2021), and ADM's classifier."""

from score_sde.networks.adm.classifier import ADMClassifier
from score_sde.networks.adm.unet import ADM

__all__ = ["ADM", "ADMClassifier"]
