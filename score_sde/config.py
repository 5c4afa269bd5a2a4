"""The one place where the strings of a config become objects, and where a bad config gets its message.

The fields have the names of the original's configs. A field that only we have is optional, with the default that
leaves the original's behaviour as it was.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from score_sde import networks

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


def noise_levels(config: ConfigDict) -> np.ndarray:
    """The original's table σ_max ... σ_min, geometric and DESCENDING: label 0 is the largest."""
    ends = (get(config, f"model.sigma_{end}") for end in ("max", "min"))
    return np.geomspace(*ends, get(config, "model.num_scales"))


def ddpm_stds(config: ConfigDict) -> np.ndarray:
    """√(1 − ᾱ_k) of the DDPM table, β_k from beta_min/N to beta_max/N, k = 0 ... N − 1."""
    scales = get(config, "model.num_scales")
    betas = np.linspace(get(config, "model.beta_min") / scales, get(config, "model.beta_max") / scales, scales)
    return np.sqrt(-np.expm1(np.cumsum(np.log1p(-betas))))


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
    sigmas = noise_levels(config) if options["scale_by_sigma"] else None
    return networks.DDPM(**options, sigmas=sigmas, rngs=rngs)


def _ncsnpp(config: ConfigDict, rngs: nnx.Rngs) -> networks.NCSNpp:
    names = ("resblock_type", "progressive", "progressive_input", "progressive_combine", "embedding_type")
    options = _shared_options(config) | {name: get(config, f"model.{name}").lower() for name in names}
    # With the positional embedding the network is fed labels, and has the table that they are indices of.
    labels = options["embedding_type"] == "positional"
    return networks.NCSNpp(
        **options,
        fir=get(config, "model.fir"),
        fir_kernel=get(config, "model.fir_kernel"),
        skip_rescale=get(config, "model.skip_rescale"),
        init_scale=get(config, "model.init_scale"),
        fourier_scale=get(config, "model.fourier_scale"),
        sigmas=noise_levels(config) if options["scale_by_sigma"] and labels else None,
        rngs=rngs,
    )


_NETWORKS: dict[str, Callable[[ConfigDict, nnx.Rngs], nnx.Module]] = {"ncsnpp": _ncsnpp, "ddpm": _ddpm}
