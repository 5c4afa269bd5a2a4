"""The network that config.model and config.data describe."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from score_sde import networks
from score_sde.config.access import choose, get, import_path
from score_sde.config.process import variance_exploding


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
    sigmas = variance_exploding(config).discrete_sigmas()[::-1] if options["scale_by_sigma"] else None
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
        sigmas=variance_exploding(config).discrete_sigmas()[::-1]
        if options["scale_by_sigma"] and not fourier
        else None,
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
