"""The fields of a constructor: its parameters, with their annotations and defaults."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Collection
from typing import Any

REQUIRED = inspect.Parameter.empty
OWN = object()
"""The default of an option that only the function itself defines."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One parameter as a field of a config."""

    annotation: Any
    default: Any

    @property
    def plain(self) -> bool:
        """Whether the default can be written in a config."""
        return _is_plain(self.default)


def parameters_of(constructor: Callable) -> dict[str, inspect.Parameter]:
    """The parameters by name; for a class those of ``__init__``, regardless of its metaclass."""
    if isinstance(constructor, type):
        found = dict(inspect.signature(constructor.__init__, eval_str=True).parameters)  # type: ignore[misc]
        found.pop("self", None)
        return found
    try:
        return dict(inspect.signature(constructor, eval_str=True).parameters)
    except (TypeError, ValueError):
        return {}


def fields_of(constructor: Callable, without: Collection[str] = ()) -> dict[str, Field] | None:
    """The fields by name, including typed keyword options; None if the constructor accepts any keyword."""
    fields: dict[str, Field] = {}
    for name, parameter in parameters_of(constructor).items():
        if parameter.kind is parameter.VAR_KEYWORD:
            if typing.get_origin(parameter.annotation) is not typing.Unpack:
                return None
            options = typing.get_args(parameter.annotation)[0]
            fields |= {key: Field(kind, OWN) for key, kind in typing.get_type_hints(options).items()}
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            fields[name] = Field(parameter.annotation, parameter.default)
    return {name: field for name, field in fields.items() if name not in without}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
