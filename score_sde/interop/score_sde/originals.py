"""Completing a config in the original's schema with the defaults of the original's code.

Fields that the original never read, or that have no meaning here, are omitted with a warning.
"""

import difflib
import warnings
from typing import Any

from ml_collections import ConfigDict

from score_sde.interop.score_sde.defaults import cifar10

_REQUIRED = object()


def _common() -> dict[str, dict[str, Any]]:
    """The fields of every model, with the defaults of the original's code or default configs."""
    fields = {name: dict(section) for name, section in cifar10().items() if name != "seed"}
    fields["data"] |= {"image_size": _REQUIRED}
    fields["model"] |= {"name": _REQUIRED, "nf": _REQUIRED, "scale_by_sigma": _REQUIRED, "ema_rate": 0.9999}
    fields["model"] |= {"normalization": "GroupNorm", "nonlinearity": "swish"}
    fields["training"] |= {"sde": _REQUIRED}
    fields["sampling"] |= {"method": "pc", "predictor": "euler_maruyama", "corrector": "none"}
    del fields["model"]["embedding_type"]  # only NCSN++ reads it
    return fields


_UNET: dict[str, Any] = {
    "ch_mult": _REQUIRED,
    "num_res_blocks": _REQUIRED,
    "attn_resolutions": _REQUIRED,
    "resamp_with_conv": True,
    "conditional": True,
}
_REFINENET: dict[str, Any] = {"normalization": "InstanceNorm++", "nonlinearity": "elu", "interpolation": "bilinear"}
REFINENETS = ("ncsn", "ncsnv2_64", "ncsnv2_128", "ncsnv2_256")
_OF_NETWORK: dict[str, dict[str, Any]] = {
    **dict.fromkeys(REFINENETS, _REFINENET),
    "ddpm": _UNET,
    "ncsnpp": _UNET
    | {
        "fir": _REQUIRED,
        "fir_kernel": (1, 3, 3, 1),
        "skip_rescale": True,
        "resblock_type": "biggan",
        "progressive": "none",
        "progressive_input": "none",
        "progressive_combine": "sum",
        "embedding_type": "fourier",
        "fourier_scale": 16.0,
        "init_scale": 0.0,
    },
}
_KEPT_IF_GIVEN = {"data.category"}
_SECTIONS = ("data", "model", "training", "optim", "sampling", "eval")

# Fields without meaning here, and the reasons.
_LEFT_OUT = {
    "device": "JAX finds its devices by itself",
    "data.tfrecords_path": "data come from TFDS or from a folder of images; see config.data",
    "training.n_jitted_steps": "say config.training.steps_per_call to make several steps in one call",
    "model.attention_type": "the original never read it",
    "model.conv_size": "the original never read it",
    "model.sigma_begin": "the original never read it; the largest noise is config.model.sigma_max",
    "sampling.projection_kernel": "the original never read it",
    "optim.amsgrad": "the original never read it",
}


SLIPS = {"loss": "sde", "continuouse": "continuous"}
"""Fields of ``training`` in ve/ncsn/celeba.py and ve/ncsnv2/bedroom.py, and what they mean."""


def completed(original: ConfigDict) -> ConfigDict:
    """The original's config with all fields that its networks, losses and samplers read."""
    _check_sections(original)
    original = _mended(original)
    name = str(original.get("model", {}).get("name", "")).lower()
    if name not in _OF_NETWORK:
        raise ValueError(f"config.model.name = {name!r}; allowed: {', '.join(map(repr, _OF_NETWORK))}")
    known = {section: dict(fields) for section, fields in _common().items()}
    known["model"] |= _OF_NETWORK[name]
    config = ConfigDict({"seed": int(original.get("seed", 42))})
    for section, fields in known.items():
        given = original.get(section, {})
        config[section] = ConfigDict(
            {field: _value(given, section, field, default) for field, default in fields.items()}
        )
    _note_the_rest(original, config, known)
    return config


def _mended(original: ConfigDict) -> ConfigDict:
    """Without the known slips of the original's files, with a warning."""
    slips = {wrong: right for wrong, right in SLIPS.items() if wrong in original.get("training", {})}
    if not slips:
        return original
    mended = ConfigDict(original.to_dict())
    for wrong, right in slips.items():
        warnings.warn(f"config.training.{wrong} is taken for config.training.{right}", stacklevel=5)
        mended.training[right] = mended.training[wrong]
        del mended.training[wrong]
    return mended


def _value(given: Any, section: str, field: str, default: Any) -> Any:
    """The value of a field, in the type of our default."""
    if field not in given:
        if default is _REQUIRED:
            raise ValueError(f"config.{section}.{field} is missing; the original has no default for it")
        return default
    value = given[field]
    if isinstance(value, list | tuple):
        return tuple(value)
    number = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if isinstance(default, float) and number else value


def _check_sections(original: ConfigDict) -> None:
    unknown = [name for name in original if name not in {*_SECTIONS, "seed", "device"}]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*_SECTIONS, "seed"], n=1)
        hint = f"; did you mean config.{near[0]}?" if near else ""
        raise ValueError(
            f"config.{unknown[0]} is no part of a score_sde config ({', '.join([*_SECTIONS, 'seed'])}){hint}"
        )
    for section in _SECTIONS:
        if section in original and not isinstance(original[section], ConfigDict):
            raise ValueError(
                f"config.{section} = {original[section]!r}; it must be a section, an ml_collections.ConfigDict"
            )


def _note_the_rest(original: ConfigDict, config: ConfigDict, known: dict) -> None:
    """Warn about fields that are not used. Fields that another network reads are dropped silently."""
    notes = []
    elsewhere = {f"model.{field}" for fields in _OF_NETWORK.values() for field in fields}
    if "device" in original:
        notes.append(f"config.device: {_LEFT_OUT['device']}")
    for section, fields in known.items():
        for field in original.get(section, {}):
            path = f"{section}.{field}"
            if field in fields:
                continue
            if path in _KEPT_IF_GIVEN:
                config[section][field] = original[section][field]
            elif path in _LEFT_OUT:
                notes.append(f"config.{path}: {_LEFT_OUT[path]}")
            elif path not in elsewhere:
                near = difflib.get_close_matches(field, fields, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                notes.append(f"config.{path}: unknown here{hint}")
    if notes:
        warnings.warn("fields of the config that are not taken over:\n  " + "\n  ".join(notes), stacklevel=5)
