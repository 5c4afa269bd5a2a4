"""The noise-level inputs of networks: functions of the SDE and t, (batch,) to (batch,)."""

import jax.numpy as jnp
from jaxtyping import Array

from score_sde.sde import SDE
from score_sde.sde.discrete import level_at


def scaled_time(sde: SDE, t: Array) -> Array:
    """999 t/t_max: the original's VP and sub-VP networks, for any number of scales."""
    return 999.0 * t / sde.t_max


def angle_level(sde: SDE, t: Array) -> Array:
    """2/π arctan(σ/α), from 0 to 1: smooth in t for every SDE, for networks that are differentiated by time."""
    return jnp.arctan(jnp.exp(-sde.log_snr(t) / 2)) * 2 / jnp.pi


def sigma_level(sde: SDE, t: Array) -> Array:
    """σ(t): the original's continuous VE networks."""
    return sde.sigma(t)


def log_noise_level(sde: SDE, t: Array) -> Array:
    """c_noise = ln(σ/α)/4 = −λ/8 (Karras et al. 2022, Table 1)."""
    return -sde.log_snr(t) / 8


def ddpm_label(sde: SDE, t: Array) -> Array:
    """t (N − 1), not rounded: the original's discrete VP networks."""
    return t * (sde.num_scales - 1)  # type: ignore[attr-defined]


def chain_label(sde: SDE, t: Array) -> Array:
    """The level k of the chain, a whole number: guided-diffusion's networks."""
    return level_at(t, sde.num_scales).astype(t.dtype)  # type: ignore[attr-defined]


def rescaled_label(sde: SDE, t: Array) -> Array:
    """1000 k/N: guided-diffusion's networks trained with rescaled timesteps."""
    return chain_label(sde, t) * (1000 / sde.num_scales)  # type: ignore[attr-defined]


def smld_label(sde: SDE, t: Array) -> Array:
    """(t_max − t)(N − 1), rounded: the original's discrete VE networks, where label 0 is the largest σ."""
    return jnp.round((sde.t_max - t) * (sde.num_scales - 1))  # type: ignore[attr-defined]
