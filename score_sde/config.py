"""The one place where the strings of a config become objects, and where a bad config gets its message.

The fields have the names of the original's configs. A field that only we have is optional, with the default that
leaves the original's behaviour as it was.
"""

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from score_sde import networks, samplers
from score_sde.denoiser import NetworkDenoiser, ddpm_label, scaled_time, sigma_level, smld_label
from score_sde.sde import SDE, VE, VP, SubVP

_MISSING = object()


def get(config: ConfigDict, path: str, default: Any = _MISSING) -> Any:
    """The field at a path such as "model.nf"; without a default, a ValueError that names it if it is missing."""
    value: Any = config
    for name in path.split("."):
        if not isinstance(value, Mapping | ConfigDict) or name not in value:
            if default is _MISSING:
                raise ValueError(f"config.{path} is missing")
            return default
        value = value[name]
    return value


def choose(config: ConfigDict, path: str, allowed: Mapping[str, Any]) -> Any:
    """What the string at this path stands for, among what is allowed."""
    value = get(config, path)
    key = value.lower() if isinstance(value, str) else value
    if key not in allowed:
        raise ValueError(f"config.{path} = {value!r}; allowed: {', '.join(map(repr, allowed))}")
    return allowed[key]


def import_path(path: str) -> Any:
    """The object at "my_package.module:Thing"."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import {path!r} ({error}); give it as my_package.module:Thing") from error


def build_network(config: ConfigDict, rngs: nnx.Rngs) -> nnx.Module:
    """The network of config.model and config.data; weights are initialised from ``rngs``."""
    name = get(config, "model.name")
    if ":" in name:
        return import_path(name)(**get(config, "model.options", {}), rngs=rngs)
    if name.startswith("ncsn") and name != "ncsnpp":
        raise ValueError(
            f"config.model.name = {name!r}: NCSN and NCSNv2 are not provided yet; there are "
            f"{', '.join(map(repr, _NETWORKS))}"
        )
    return choose(config, "model.name", _NETWORKS)(config, rngs)


def build_sde(config: ConfigDict) -> SDE:
    """The forward process of config.training.sde."""
    return choose(config, "training.sde", _SDES)(config)


def build_model(config: ConfigDict, network: nnx.Module) -> NetworkDenoiser:
    """The network as a denoiser: what it predicts, and what it is told of t, follow from the process.

    continuous   VE: the score, told σ(t).         VP, sub-VP: the noise, told 999 t.
    discrete     VE: the score, told the label.    VP: the noise, told the label; its standard deviation from a table.
    """
    sde = build_sde(config)
    process, continuous = get(config, "training.sde").lower(), get(config, "training.continuous")
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


def build_sampler(config: ConfigDict) -> Callable[..., samplers.Samples]:
    """The sampler of config.sampling, as a function (model, key, n, shape, condition=…, …) -> Samples.

    "pc" and "ode" are the original's. With scheme = "published" predictor-corrector takes the original's steps (see
    ``samplers.grids.published``), otherwise ours. Any other sampler of ``ss.samplers`` can be named too, or one of
    yours by import path, with its arguments in config.sampling.options.
    """
    method = get(config, "sampling.method")
    options = dict(get(config, "sampling.options", {}))
    if ":" in method:
        return functools.partial(import_path(method), **options)
    if method not in ("pc", "ode"):
        choices = {name: getattr(samplers, name) for name in ("ddim", "heun", "dpm_solver", "unipc", "reverse_sde")}
        return functools.partial(choose(config, "sampling.method", choices), **options)
    removal = get(config, "sampling.noise_removal")
    if method == "ode":
        return functools.partial(samplers.ode, final="denoise" if removal else "none", **options)
    published = choose(config, "sampling.scheme", {"published": True, "even": False})
    final: Literal["mean", "denoise", "none"] = ("mean" if published else "denoise") if removal else "none"
    return functools.partial(
        samplers.predictor_corrector,
        steps=get(config, "model.num_scales"),
        predictor=_predictor(config),
        corrector=_corrector(config),
        time_grid=samplers.grids.published if published else None,
        final=final,
        **options,
    )


def sample_shape(config: ConfigDict) -> tuple[int, ...]:
    """The shape of one example."""
    shape = get(config, "data.shape", None)
    if shape is not None:
        return (shape,) if isinstance(shape, int) else tuple(shape)
    size = get(config, "data.image_size")
    spatial = (size,) * get(config, "model.spatial_dims", 2) if isinstance(size, int) else tuple(size)
    return (*spatial, get(config, "data.num_channels"))


def _predictor(config: ConfigDict) -> samplers.Predictor | None:
    flow = get(config, "sampling.probability_flow")
    # The original's ancestral step has variance β_k for VP and the posterior's for VE.
    variance = "posterior" if get(config, "training.sde").lower() == "vesde" else "forward"
    choices = {
        "euler_maruyama": samplers.EulerMaruyama(0.0 if flow else 1.0),
        "reverse_diffusion": samplers.ReverseDiffusion(probability_flow=flow),
        "ancestral_sampling": samplers.Ancestral(variance),  # type: ignore[arg-type]
        "none": None,
    }
    return choose(config, "sampling.predictor", choices)


def _corrector(config: ConfigDict) -> samplers.Corrector | None:
    snr, steps = get(config, "sampling.snr"), get(config, "sampling.n_steps_each")
    choices = {
        "langevin": samplers.Langevin(snr, steps, get(config, "sampling.norms")),
        "ald": samplers.AnnealedLangevin(snr, steps),
        "none": None,
    }
    return choose(config, "sampling.corrector", choices)


def _ve(config: ConfigDict) -> VE:
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


def _shared_options(config: ConfigDict) -> dict[str, Any]:
    """What NCSN++ and DDPM have in common."""
    same = ("nf", "ch_mult", "num_res_blocks", "attn_resolutions", "dropout", "resamp_with_conv", "conditional")
    ours = ("attention_heads", "attention_implementation", "num_classes", "remat", "spatial_dims")
    options = {name: get(config, f"model.{name}") for name in same}
    options |= {name: get(config, f"model.{name}") for name in ours if name in config.model}
    choose(config, "model.normalization", {"groupnorm": None})
    scale_by_sigma = get(config, "model.scale_by_sigma")
    return {
        **options,
        "image_size": get(config, "data.image_size"),
        "channels": get(config, "data.num_channels"),
        "nonlinearity": get(config, "model.nonlinearity").lower(),
        "scale_by_sigma": scale_by_sigma,
        "data_in_unit_range": not get(config, "data.centered"),
        "dtype": jnp.dtype(get(config, "model.dtype", "float32")),
    }


def _ddpm(config: ConfigDict, rngs: nnx.Rngs) -> networks.DDPM:
    options = _shared_options(config)
    sigmas = _ve(config).discrete_sigmas()[::-1] if options["scale_by_sigma"] else None
    return networks.DDPM(**options, sigmas=sigmas, rngs=rngs)


def _ncsnpp(config: ConfigDict, rngs: nnx.Rngs) -> networks.NCSNpp:
    names = ("resblock_type", "progressive", "progressive_input", "embedding_type")
    options = _shared_options(config) | {name: get(config, f"model.{name}").lower() for name in names}
    fir, fourier = get(config, "model.fir"), options["embedding_type"] != "positional"
    # Fields that are needed only where they have an effect.
    if fir:
        options["fir_kernel"] = get(config, "model.fir_kernel")
    if fourier:
        options["fourier_scale"] = get(config, "model.fourier_scale")
    if options["progressive_input"] == "input_skip":
        options["progressive_combine"] = get(config, "model.progressive_combine").lower()
    # With the positional embedding the network is fed labels, and holds the table that they are indices of: the
    # noise levels in DESCENDING order, label 0 is the largest.
    return networks.NCSNpp(
        **options,
        fir=fir,
        skip_rescale=get(config, "model.skip_rescale"),
        init_scale=get(config, "model.init_scale"),
        sigmas=_ve(config).discrete_sigmas()[::-1] if options["scale_by_sigma"] and not fourier else None,
        rngs=rngs,
    )


def _vector_network(network: type[networks.MLP | networks.ResNet]) -> Callable[[ConfigDict, nnx.Rngs], nnx.Module]:
    def build(config: ConfigDict, rngs: nnx.Rngs) -> nnx.Module:
        """data.shape (an int, or one for each axis), and those fields of config.model that the constructor knows."""
        names = (
            "width",
            "depth",
            "dropout",
            "embedding_type",
            "fourier_scale",
            "nonlinearity",
            "num_classes",
            "init_scale",
        )
        options = {name: get(config, f"model.{name}") for name in names if name in config.model}
        return network(get(config, "data.shape"), **options, rngs=rngs)

    return build


_NETWORKS: dict[str, Callable[[ConfigDict, nnx.Rngs], nnx.Module]] = {
    "ncsnpp": _ncsnpp,
    "ddpm": _ddpm,
    "mlp": _vector_network(networks.MLP),
    "resnet": _vector_network(networks.ResNet),
}

_SDES: dict[str, Callable[[ConfigDict], SDE]] = {"vesde": _ve, "vpsde": _vp, "subvpsde": _sub_vp}
