"""The fields of a config with their values, as printed by --help together with a config."""

from collections.abc import Iterator, Mapping
from typing import Any

from score_sde.config.parts import MANY, NESTED, OPTIONAL, OR_NUMBERS, SECTIONS, Part
from score_sde.config.schema import find
from score_sde.config.signatures import OWN, REQUIRED, Field, fields_of
from score_sde.config.types import described


def help_text(config: Mapping[str, Any]) -> str:
    """One line for each field of each part of a checked config."""
    lines = [f"{'field':<44}{'value':<24}what it may be"]
    for section, part in SECTIONS.items():
        if config[section] is None:
            lines.append(_line(f"config.{section}", "None", _when_none(section, part)))
        else:
            lines += _lines(f"config.{section}", part, config[section])
    for section, part in MANY.items():
        for name, value in config[section].items():
            lines += _lines(f"config.{section}.{name}", part, value)
        if not config[section]:
            lines.append(_line(f"config.{section}", "none", f"by names of your own: {', '.join(part.choices())}"))
    return "\n".join(lines)


def _lines(path: str, part: Part, section: Mapping[str, Any]) -> Iterator[str]:
    name, constructor = find(path, part, section.get("name", part.default))
    if not part.only:
        yield _line(f"{path}.name", name, ", ".join(part.choices()))
    for key, field in (fields_of(constructor, (*part.given, "name")) or {}).items():
        value = section.get(key, _default(field))
        if isinstance(value, Mapping) and key in NESTED:
            yield from _lines(f"{path}.{key}", NESTED[key], value)
        else:
            yield _line(f"{path}.{key}", value, _choices(key, field))


def _choices(key: str, field: Field) -> str:
    if key not in NESTED:
        return described(field.annotation)
    return ("a number or a list of numbers, " if key in OR_NUMBERS else "") + ", ".join(NESTED[key].choices())


def _when_none(section: str, part: Part) -> str:
    return ", ".join(part.choices()) if section in OPTIONAL else "follows from the data"


def _default(field: Field) -> Any:
    if field.default is REQUIRED:
        return "(missing)"
    return "(its own)" if field.default is OWN or not field.plain else field.default


def _line(path: str, value: Any, allowed: str) -> str:
    return f"{path:<43} {value!s:<23} {allowed}"
