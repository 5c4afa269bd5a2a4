"""The forward process, and the network as a denoiser under it."""

import dataclasses
from collections.abc import Callable

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from score_sde import networks
from score_sde.config.access import choose, get, import_path
from score_sde.denoiser import NetworkDenoiser, ddpm_label, scaled_time, sigma_level, smld_label
from score_sde.sde import EDM, SDE, VE, VP, Cosine, FlowMatching, SubVP


def build_sde(config: ConfigDict) -> SDE:
    """The forward process of config.training.sde, a name or an import path; config.model.sde_options change its fields.

    Such as sde_options = {"t_min": 1e-3}.
    """
    name, options = get(config, "training.sde"), dict(get(config, "model.sde_options", {}))
    if ":" in name:
        return import_path(name)(**options)
    sde = choose(config, "training.sde", _SDES)(config)
    fields = [field.name for field in dataclasses.fields(sde)]
    unknown = sorted(set(options) - set(fields))
    if unknown:
        raise ValueError(f"config.model.sde_options has {', '.join(unknown)}; {name!r} has {', '.join(fields)}")
    return dataclasses.replace(sde, **options)


def build_model(config: ConfigDict, network: nnx.Module) -> NetworkDenoiser:
    """The network as a denoiser: unless config.model.predicts says so, what it predicts follows from the process.

    continuous   VE: the score, told σ(t).         Others: the noise, told 999 t.
    discrete     VE: the score, told the label.    VP: the noise, told the label; its standard deviation from a table.
    """
    sde = build_sde(config)
    process, continuous = get(config, "training.sde").lower(), get(config, "training.continuous")
    predicts = get(config, "model.predicts", None)
    if predicts is not None:
        if not continuous:
            raise ValueError(
                f"config.model.predicts = {predicts!r} needs config.training.continuous = True: a discrete chain fixes it"
            )
        sigma_data = float(get(config, "model.sigma_data", 0.5))
        return NetworkDenoiser(sde, network, predicts=predicts, sigma_data=sigma_data)
    if process == "vesde":
        level = sigma_level if continuous else smld_label
        return NetworkDenoiser(sde, network, predicts="score", noise_level=level)
    if continuous:
        return NetworkDenoiser(sde, network, predicts="noise", noise_level=scaled_time)
    if process != "vpsde":
        raise ValueError(
            f"config.training.continuous = False with config.training.sde = {process!r}: only 'vpsde' and 'vesde' have "
            "a discrete chain to train on; set config.training.continuous = True"
        )
    stds = np.sqrt(1 - sde.discrete_alphas_cumprod())  # type: ignore[attr-defined]
    return NetworkDenoiser(sde, networks.NoiseToScore(network, stds), predicts="score", noise_level=ddpm_label)


def variance_exploding(config: ConfigDict) -> VE:
    """VE with the fields of config.model; some networks hold its table of noise levels."""
    return VE(
        sigma_min=float(get(config, "model.sigma_min")),
        sigma_max=float(get(config, "model.sigma_max")),
        num_scales=get(config, "model.num_scales"),
    )


def _vp(config: ConfigDict) -> VP:
    return VP(
        beta_min=float(get(config, "model.beta_min")),
        beta_max=float(get(config, "model.beta_max")),
        num_scales=get(config, "model.num_scales"),
    )


def _sub_vp(config: ConfigDict) -> SubVP:
    return SubVP(beta_min=float(get(config, "model.beta_min")), beta_max=float(get(config, "model.beta_max")))


_SDES: dict[str, Callable[[ConfigDict], SDE]] = {
    "vesde": variance_exploding,
    "vpsde": _vp,
    "subvpsde": _sub_vp,
    "cosine": lambda config: Cosine(),
    "edm": lambda config: EDM(),
    "flow_matching": lambda config: FlowMatching(),
}
