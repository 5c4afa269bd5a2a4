"""Reading a config: fields by their path, choices, and objects by their import path."""

import importlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

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


def choose(config: ConfigDict, path: str, allowed: Mapping[str, Any], default: Any = _MISSING) -> Any:
    """What the string at this path stands for, among what is allowed."""
    value = get(config, path, default)
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


def sample_shape(config: ConfigDict) -> tuple[int, ...]:
    """The shape of one example."""
    shape = get(config, "data.shape", None)
    if shape is not None:
        return (shape,) if isinstance(shape, int) else tuple(shape)
    size = get(config, "data.image_size")
    spatial = (size,) * get(config, "model.spatial_dims", 2) if isinstance(size, int) else tuple(size)
    return (*spatial, get(config, "data.num_channels"))
