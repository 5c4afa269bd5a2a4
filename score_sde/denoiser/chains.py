"""Networks trained on the levels of a discrete chain, as denoisers of the corresponding SDE."""

import numpy as np

from score_sde.checks import require
from score_sde.denoiser.levels import ddpm_label, smld_label
from score_sde.denoiser.predicting import Network, NetworkDenoiser
from score_sde.networks.discrete import NoiseToScore
from score_sde.sde import SDE


def ddpm_chain(sde: SDE, network: Network) -> NetworkDenoiser:
    """A noise network at the labels 0 ... N − 1 of DDPM's chain (Ho et al. 2020), with tabulated deviations."""
    require(
        hasattr(sde, "discrete_alphas_cumprod"),
        f"ddpm_chain needs the table of a VP process; {type(sde).__name__} has none. Use sde = 'vp', or another denoiser",
    )
    stds = np.sqrt(1 - sde.discrete_alphas_cumprod())  # type: ignore[attr-defined]
    return NetworkDenoiser(sde, NoiseToScore(network, stds), predicts="score", noise_level=ddpm_label)


def smld_chain(sde: SDE, network: Network) -> NetworkDenoiser:
    """A score network at the labels 0 ... N − 1 of SMLD's noise levels (Song & Ermon 2019), largest first."""
    require(
        hasattr(sde, "discrete_sigmas"),
        f"smld_chain needs the noise levels of a VE process; {type(sde).__name__} has none. Use sde = 've', or another "
        "denoiser",
    )
    return NetworkDenoiser(sde, network, predicts="score", noise_level=smld_label)
