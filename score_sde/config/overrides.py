"""What the command line says about a config: ``--config.network.nf=64``, typed by the field's own annotation."""

from collections.abc import Mapping
from typing import Any

from score_sde.config.schema import field_at
from score_sde.config.types import parsed


def override(config: Mapping[str, Any], path: str, text: str) -> dict[str, Any]:
    """The config with one field set to what the text says in the field's type.

    A section that is set as a whole, ``--config.sampler=heun``, loses its other fields: they belong to what it named
    before. A field that does not exist is set too; ``checked`` then says what is wrong with it.
    """
    field = field_at(config, path)
    value = parsed(text, Any if field is None else field.annotation)
    return _set(config, path.split("."), value)


def _set(config: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        return {**config, name: value}
    inside = config.get(name)
    if isinstance(inside, str):
        inside = {"name": inside}
    return {**config, name: _set(inside if isinstance(inside, Mapping) else {}, rest, value)}
