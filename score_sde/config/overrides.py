"""Overrides from the command line, ``--config.network.nf=64``, parsed according to the field's annotation."""

from collections.abc import Mapping
from typing import Any

from score_sde.config.parts import MANY
from score_sde.config.schema import by_name, field_at
from score_sde.config.types import parsed


def override(config: Mapping[str, Any], path: str, text: str) -> dict[str, Any]:
    """The config with one field set to the text, parsed as the field's type.

    Setting a whole section, ``--config.sampler=heun``, removes its other fields, which belong to the previous
    constructor. An unknown field is set too; ``checked`` then reports it.
    """
    field = field_at(config, path)
    value = parsed(text, Any if field is None else field.annotation)
    section = path.split(".")[0]
    if section in MANY and section in config:
        config = {**config, section: by_name(config[section])}
    return _set(config, path.split("."), value)


def _set(config: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        return {**config, name: value}
    inside = config.get(name)
    if isinstance(inside, str):
        inside = {"name": inside}
    return {**config, name: _set(inside if isinstance(inside, Mapping) else {}, rest, value)}
