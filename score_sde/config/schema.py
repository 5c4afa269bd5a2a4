"""Check a config against signatures: one message lists all unknown fields, wrong types and missing values."""

import difflib
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from score_sde.config.parts import FOLLOWS, MANY, MANY_DEFAULTS, NESTED, OPTIONAL, OR_NUMBERS, SECTIONS, Part, same
from score_sde.config.signatures import REQUIRED, Field, fields_of
from score_sde.config.types import admits, described, fitted
from score_sde.objects import import_object

VERSION = 2
"""The schema's version, in config.json."""

SCALARS: Mapping[str, Field] = {"seed": Field(int, 42), "version": Field(int, VERSION)}


class ConfigError(ValueError):
    """An invalid config; the message lists all problems."""

    def __init__(self, problems: Iterable[str]):
        lines = list(dict.fromkeys(problems))
        super().__init__("the config cannot be used:\n  " + "\n  ".join(lines))


def checked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with full names, values converted to the types of their fields, and plain defaults filled in."""
    problems: list[str] = []
    known = [*SCALARS, *SECTIONS, *MANY]
    for name in config:
        if name not in known:
            problems.append(f"config.{name} is unknown{nearest(name, known)}")
    whole: dict[str, Any] = {}
    for name, field in SCALARS.items():
        whole[name] = _value(f"config.{name}", field, config.get(name, field.default), problems)
    if isinstance(whole["version"], int) and whole["version"] != VERSION:
        problems.append(f"config.version = {whole['version']}; this release reads version {VERSION}")
    for name, part in SECTIONS.items():
        if config.get(name) is None and name in (*OPTIONAL, *FOLLOWS):
            whole[name] = None
        else:
            whole[name] = check_part(f"config.{name}", part, config.get(name, {}), problems)
    for name, part in MANY.items():
        whole[name] = _check_many(f"config.{name}", part, config.get(name, MANY_DEFAULTS.get(name, {})), problems)
    if problems:
        raise ConfigError(problems)
    return whole


def check_part(path: str, part: Part, given: Any, problems: list[str], default: str | None = None) -> Any:
    """Check one section against the signature of the constructor it names."""
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping):
        problems.append(f"{path} = {given!r}; it must be a section, or a name: {_names(part)}")
        return given
    name = given.get("name", default or part.default)
    if not isinstance(name, str):
        what = "is missing" if name is None else f"= {name!r} is no name"
        problems.append(f"{path}.name {what}; allowed: {_names(part)}")
        return given
    try:
        name, constructor = find(path, part, name)
    except ValueError as error:
        problems.append(str(error))
        return given
    section: dict[str, Any] = {} if part.only else {"name": name}
    fields = fields_of(constructor, (*part.given, "name"))
    if fields is None:  # the function accepts any keyword and must check them itself
        return section | {key: value for key, value in given.items() if key != "name"}
    for key in given:
        if key not in fields and not (key == "name" and not part.only):
            owner = "" if part.only else f" of {name!r}"
            problems.append(
                f"{path}.{key} is unknown{nearest(key, fields, path)}; the fields{owner}: {_listed(fields)}"
            )
    for key, field in fields.items():
        if key in given:
            section[key] = _field(f"{path}.{key}", key, field, given[key], problems)
        elif field.default is REQUIRED:
            problems.append(f"{path}.{key} is missing; it must be {_wanted(key, field)}")
        elif field.plain:
            section[key] = field.default
    return section


def find(path: str, part: Part, name: str) -> tuple[str, Callable]:
    """The short name and the constructor of this name; a ValueError that suggests the closest name if there is none."""
    if ":" in name:
        try:
            return name, import_object(name)
        except ValueError as error:
            raise ValueError(f"{path}.name = {name!r}: {error}") from error
    choices = part.choices()
    for each, constructor in choices.items():
        if same(each, name):
            return each, import_object(constructor) if isinstance(constructor, str) else constructor
    near = difflib.get_close_matches(name.lower(), choices, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"{path}.name = {name!r}; {hint}allowed: {_names(part)}")


def field_at(config: Mapping[str, Any], path: str) -> Field | None:
    """The field at a path such as "loss.times.std", given the config's constructors; None if there is none."""
    section, *rest = path.split(".")
    if section in SCALARS:
        return SCALARS[section] if not rest else None
    part, here = SECTIONS.get(section), config.get(section)
    default = None
    if part is None:
        part = MANY.get(section)
        if part is None or not rest:
            return None
        default, here = rest[0], here.get(rest[0]) if isinstance(here, Mapping) else None
        rest = rest[1:]
    while rest:
        name = here if isinstance(here, str) else here.get("name") if isinstance(here, Mapping) else None
        if rest[0] == "name":
            return Field(str, None) if len(rest) == 1 else None
        field = _fields_or_none(part, name or _known(part, default) or part.default).get(rest[0])
        if len(rest) == 1 or field is None:
            return field
        part = NESTED.get(rest[0])
        if part is None:
            return None
        here = here.get(rest[0]) if isinstance(here, Mapping) else None
        default, rest = None, rest[1:]
    return Field(str, None)  # a whole section: its name


def nearest(name: str, known: Iterable[str], path: str = "config") -> str:
    """A suggestion of the closest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {path}.{near[0]}?" if near else ""


def is_reference(annotation: Any) -> bool:
    """Whether a parameter is a model, for which a config refers to another run."""
    kinds = (annotation, *typing.get_args(annotation))
    return any(isinstance(kind, type) and (hasattr(kind, "cost") or hasattr(kind, "logits")) for kind in kinds)


REFERENCE: Mapping[str, Field] = {
    "run": Field(str, REQUIRED),
    "step": Field(int | None, None),
    "weights": Field(str, "ema"),
    "hash": Field(str | None, None),
}
"""The fields of a reference to another run: its workdir, the step and name of the weights, and their hash."""
RUN = 'a reference to another run: {"run": WORKDIR, "step": None, "weights": "ema"}'


def _wanted(key: str, field: Field) -> str:
    """What a field takes, in words."""
    if key in NESTED:
        numbers = "a number or a list of numbers, " if key in OR_NUMBERS else ""
        return f"{numbers}a section, or a name: {_names(NESTED[key])}"
    return RUN if is_reference(field.annotation) else described(field.annotation)


def _field(path: str, key: str, field: Field, value: Any, problems: list[str]) -> Any:
    if key in NESTED and not (value is None and admits(field.annotation, type(None))):
        if isinstance(value, str | Mapping):
            return check_part(path, NESTED[key], value, problems)
        if key not in OR_NUMBERS:
            problems.append(f"{path} = {value!r}; it must be a section, or a name: {_names(NESTED[key])}")
            return value
    if is_reference(field.annotation) and not (value is None and admits(field.annotation, type(None))):
        return _reference(path, value, problems)
    return _value(path, field, value, problems)


def _reference(path: str, value: Any, problems: list[str]) -> Any:
    value = {"run": value} if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        problems.append(f"{path} = {value!r}; it must be {RUN}")
        return value
    for key in value:
        if key not in REFERENCE:
            problems.append(f"{path}.{key} is unknown{nearest(key, REFERENCE, path)}")
    if "run" not in value:
        problems.append(f"{path}.run is missing; it must be the workdir of another run")
    return {
        key: _value(f"{path}.{key}", field, value.get(key, field.default), problems)
        for key, field in REFERENCE.items()
        if key in value or field.default is not REQUIRED
    }


def _value(path: str, field: Field, value: Any, problems: list[str]) -> Any:
    try:
        return fitted(value, field.annotation)
    except ValueError as error:
        shown = "a section" if isinstance(value, Mapping) else repr(value)
        problems.append(f"{path} = {shown}; {error}")
        return value


def by_name(given: Any) -> Any:
    """Several parts: "label", "label,map" and ("label", "map") mean parts with their defaults."""
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    if (
        isinstance(names, list | tuple)
        and names
        and all(isinstance(name, str) and name.isidentifier() for name in names)
    ):
        return {name: {} for name in names}
    return given


def _check_many(path: str, part: Part, given: Any, problems: list[str]) -> dict[str, Any]:
    """Check several named parts."""
    given = by_name(given)
    if not isinstance(given, Mapping):
        problems.append(f"{path} = {given!r}; it must be a section that holds parts by names of your own")
        return {}
    entries = {}
    for key, value in given.items():
        if value is not None:  # None removes an entry
            entries[key] = check_part(f"{path}.{key}", part, value, problems, _known(part, key))
    return entries


def _known(part: Part, name: str | None) -> str | None:
    """The name of an entry if it names a constructor."""
    return name if name is not None and any(same(each, name) for each in part.choices()) else None


def _fields_or_none(part: Part, name: str | None) -> dict[str, Field]:
    try:
        found = fields_of(find("", part, name or "")[1], part.given)
    except ValueError:
        return {}
    return found or {}


def _names(part: Part) -> str:
    return ", ".join(map(repr, part.choices())) + ', or an import path "my_package.module:thing"'


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(fields) or "none"
