"""Weightings of a loss: w(t) in  ∫ w(t) E‖ε̂ − ε‖² dt / (t_end − t_min).

Every weighting applies to the error of the noise. As α (x̂ − x_0) = −σ (ε̂ − ε), a weight for the error of the
mean is multiplied by σ²/α² = 1/SNR, and one for the error of the score by 1/σ². (Song et al.'s λ(t) is w(t) σ² here; λ
alone is the log-SNR.)
"""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp

from score_sde.checks import require
from score_sde.losses.times import LogNormal, Times, Values, span
from score_sde.sde import SDE

Weighting: TypeAlias = Callable[[SDE, Values], Values]


def score_matching(sde: SDE, t: Values) -> Values:
    """σ² for the score, 1 for the noise: the paper's weighting (Song et al. 2021, eq. 7; DDPM's "simple" loss)."""
    return jnp.ones_like(t)


def likelihood(sde: SDE, t: Values) -> Values:
    """g² for the score, g²/σ² for the noise: the loss bounds the likelihood (Song et al. 2021b, eq. 7)."""
    return (sde.diffusion(t) / sde.sigma(t)) ** 2


def min_snr(gamma: float = 5.0) -> Weighting:
    """min(SNR, γ) for the mean (Hang et al. 2023, eq. 5)."""
    require(gamma > 0, f"gamma = {gamma}; it must be positive")

    def weighting(sde: SDE, t: Values) -> Values:
        return jnp.minimum(1.0, gamma * jnp.exp(-sde.log_snr(t)))

    return weighting


def truncated_snr(sde: SDE, t: Values) -> Values:
    """max(SNR, 1) for the mean (Salimans & Ho 2022, section 4)."""
    return jnp.maximum(1.0, jnp.exp(-sde.log_snr(t)))


def snr_plus_one(sde: SDE, t: Values) -> Values:
    """SNR + 1 for the mean, 1 for v = α ε − σ x_0 with α² + σ² = 1 (Salimans & Ho 2022, section 4)."""
    return 1 + jnp.exp(-sde.log_snr(t))


def flow_matching(sde: SDE, t: Values) -> Values:
    """1 for the velocity α' x_0 + σ' ε (Lipman et al. 2023): (σ' − α' σ/α)² for the noise."""
    return (sde.sigma_dot(t) - sde.drift_rate(t) * sde.sigma(t)) ** 2


def emphasise(weighting: Weighting, times: Times) -> Weighting:
    """w(t) q(t), where q is the density of ``times`` relative to uniform times.

    For papers that draw t ~ q and do not divide by q, as ``denoising`` does. In a loss with the same ``times`` the two
    cancel, which leaves exactly their estimate.
    """

    def emphasised(sde: SDE, t: Values) -> Values:
        first, last = span(sde)
        return weighting(sde, t) * times.density(sde, t) * (last - first)

    return emphasised


def edm(sigma_data: float = 0.5, mean: float = -1.2, std: float = 1.2) -> Weighting:
    """w(s) = (s² + sigma_data²)/(s sigma_data)² for the mean, ln s ~ N(mean, std²), with s = σ/α.

    Karras et al. 2022, Table 1 and eq. 8. Draw times from ``LogNormal(mean, std)`` for exactly their estimate.
    """
    require(sigma_data > 0, f"sigma_data = {sigma_data}; it must be positive")

    def weighting(sde: SDE, t: Values) -> Values:
        return (jnp.exp(-sde.log_snr(t)) + sigma_data**2) / sigma_data**2  # w(s) s²

    return emphasise(weighting, LogNormal(mean, std))
