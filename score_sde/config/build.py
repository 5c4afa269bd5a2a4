"""Build the part of a checked section: call its constructor with the fields, or bind the fields to it."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from score_sde.config.parts import MANY, NESTED, SECTIONS, Part
from score_sde.config.schema import find, is_reference
from score_sde.config.signatures import parameters_of
from score_sde.config.types import admits
from score_sde.objects import import_object


def build(
    config: Mapping[str, Any], section: str, *, resolve: Callable[[Mapping], Any] | None = None, **given: Any
) -> Any:
    """The part of this section, or None if the section is None.

    ``given``: arguments from the builder; those without a parameter in the constructor are ignored. ``resolve`` maps a
    reference to another run to its model.
    """
    if config[section] is None:
        return None
    return build_part(f"config.{section}", SECTIONS[section], config[section], given, resolve)


def build_many(
    config: Mapping[str, Any], section: str, *, resolve: Callable[[Mapping], Any] | None = None, **given: Any
) -> dict[str, Any]:
    """The parts of a section with several parts, by name; see ``build``."""
    part = MANY[section]
    return {
        name: build_part(f"config.{section}.{name}", part, value, given, resolve)
        for name, value in config[section].items()
    }


def constructor_of(config: Mapping[str, Any], section: str) -> Callable:
    """The section's constructor."""
    part = SECTIONS[section]
    return find(f"config.{section}", part, config[section].get("name", part.default))[1]


def build_part(
    path: str, part: Part, section: Mapping[str, Any], given: Mapping[str, Any], resolve: Callable | None
) -> Any:
    """Build one part. Errors of its constructor name the path of the section."""
    _, constructor = find(path, part, section.get("name", part.default))
    parameters = parameters_of(constructor)
    arguments = {
        key: _argument(f"{path}.{key}", key, value, parameters.get(key), given, resolve)
        for key, value in section.items()
        if key != "name"
    }
    if part.late and set(part.given) & set(parameters):
        return functools.partial(constructor, **arguments) if arguments else constructor
    supplied = {key: value for key, value in given.items() if key in parameters}
    try:
        return constructor(**(supplied | arguments))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _argument(
    path: str, key: str, value: Any, parameter: inspect.Parameter | None, given: Mapping[str, Any], resolve: Any
) -> Any:
    if isinstance(value, Mapping) and key in NESTED:
        return build_part(path, NESTED[key], value, given, resolve)
    if parameter is None:
        return value
    if isinstance(value, Mapping) and resolve is not None and is_reference(parameter.annotation):
        return resolve(value)
    if isinstance(value, str) and ":" in value and not admits(parameter.annotation, str):
        return import_object(value)
    return value
