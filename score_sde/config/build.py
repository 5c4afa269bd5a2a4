"""From a checked section to what it names: the constructor is called with the fields, or bound to them."""

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
    """The part of this section; None where the section is.

    ``given``: what the builder supplies; the constructor takes of it what it has parameters for. ``resolve``: what a
    reference to another run stands for.
    """
    if config[section] is None:
        return None
    return build_part(f"config.{section}", SECTIONS[section], config[section], given, resolve)


def build_many(config: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The parts of a section that holds several, by their names."""
    part = MANY[section]
    return {
        name: build_part(f"config.{section}.{name}", part, value, {}, None) for name, value in config[section].items()
    }


def constructor_of(config: Mapping[str, Any], section: str) -> Callable:
    """What the section names."""
    part = SECTIONS[section]
    return find(f"config.{section}", part, config[section].get("name", part.default))[1]


def build_part(
    path: str, part: Part, section: Mapping[str, Any], given: Mapping[str, Any], resolve: Callable | None
) -> Any:
    """One part. What its constructor refuses is refused with the path of the section."""
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
