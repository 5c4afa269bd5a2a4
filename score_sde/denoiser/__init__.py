"""The common interface of models: the posterior mean and the noise; see ``score_sde.denoiser.base``."""

from score_sde.conditions import Condition
from score_sde.denoiser.base import Cost, Denoiser
from score_sde.denoiser.chains import ddpm_chain, smld_chain
from score_sde.denoiser.levels import (
    angle_level,
    chain_label,
    ddpm_label,
    log_noise_level,
    rescaled_label,
    scaled_time,
    sigma_level,
    smld_label,
)
from score_sde.denoiser.predicting import FunctionDenoiser, Network, NetworkDenoiser, as_tree, check_condition
from score_sde.denoiser.wrapper import WithoutDropout, Wrapper, without_dropout

__all__ = [
    "Condition",
    "Cost",
    "Denoiser",
    "FunctionDenoiser",
    "Network",
    "NetworkDenoiser",
    "WithoutDropout",
    "Wrapper",
    "angle_level",
    "as_tree",
    "chain_label",
    "check_condition",
    "ddpm_chain",
    "ddpm_label",
    "log_noise_level",
    "rescaled_label",
    "scaled_time",
    "sigma_level",
    "smld_chain",
    "smld_label",
    "without_dropout",
]
