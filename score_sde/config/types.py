"""Check values of a config against annotations, and describe the allowed values.

A config holds plain values: numbers, strings, True, False, None, and lists of them. An int is accepted as a float, a
list as a tuple, and an import path ``"my_package.module:thing"`` as the object. NaN is never accepted.
"""

import ast
import collections.abc
import inspect
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import AbstractArray

SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    types.NoneType: "None",
}


def fitted(value: Any, annotation: Any) -> Any:
    """The value converted to the annotation (1 to 1.0, a list to a tuple); a ValueError describes what is allowed."""
    if _has_nan(value):
        raise ValueError("it is not a number (NaN)")
    kinds = _alternatives(annotation)
    for kind in kinds:
        try:
            return _one(value, kind)
        except ValueError:
            continue
    raise ValueError(f"it must be {described(annotation)}")


def admits(annotation: Any, kind: type) -> bool:
    """Whether the annotation accepts a value of this type without conversion."""
    return any(each in (kind, Any) or (kind is str and _is_literal(each)) for each in _alternatives(annotation))


def parsed(text: str, annotation: Any) -> Any:
    """Parse a value from the command line: "64", "1e-4", "true", "(1, 2)", "None", or the text itself.

    If the annotation is a list, "8" is a list of one, and "fd,kid" a list of two texts.
    """
    try:
        value = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        value = text
    words = tuple(word.strip() for word in text.split(","))
    for candidate in (value,) if isinstance(value, Mapping) else (value, words, (value,)):
        try:
            return fitted(candidate, annotation)
        except ValueError:
            continue
    return text


def described(annotation: Any) -> str:
    """The allowed values, as in "a whole number or None"."""
    words = list(dict.fromkeys(_words(kind) for kind in _alternatives(annotation)))
    if "a number" in words:
        words = [word for word in words if word != "a whole number"]
    return " or ".join(words)


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union, with aliases resolved; an array type replaces all numeric types next to it."""
    if annotation is None:
        return [types.NoneType]
    if isinstance(annotation, typing.TypeAliasType) if hasattr(typing, "TypeAliasType") else False:
        return _alternatives(annotation.__value__)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [each for arg in typing.get_args(annotation) for each in _alternatives(arg)]
        numbers = [each for each in members if _is_array(each)]
        if numbers:  # ArrayLike and similar
            members = [numbers[0], *(each for each in members if not _is_array(each) and not _is_scalar(each))]
        return list(dict.fromkeys(members))
    return [typing.Any] if annotation is inspect.Parameter.empty else [annotation]


def _one(value: Any, kind: Any) -> Any:
    origin = typing.get_origin(kind)
    if _is_literal(kind):
        _require(any(value == each and type(value) is type(each) for each in typing.get_args(kind)))
        return value
    if kind is types.NoneType:
        _require(value is None)
    elif kind is bool:
        _require(isinstance(value, bool))
    elif kind is int:
        _require(isinstance(value, int) and not isinstance(value, bool))
    elif kind is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool))
        return float(value)
    elif kind in (str, Path):
        _require(isinstance(value, str | Path))
        return str(value)
    elif kind in SEQUENCES or origin in SEQUENCES:
        return _sequence(value, typing.get_args(kind))
    elif kind in (dict, Mapping) or origin in (dict, Mapping):
        _require(isinstance(value, Mapping))
        return dict(value)
    elif _is_array(kind):
        return _numbers(value)
    elif kind is typing.Any:
        _require(not isinstance(value, Mapping))
    else:  # a class, a protocol, a callable: by its import path
        _require(isinstance(value, str) and ":" in value)
    return value


def _sequence(value: Any, inside: tuple) -> tuple:
    _require(isinstance(value, list | tuple))
    if inside and inside[-1] is not Ellipsis and len(inside) > 1:
        _require(len(value) == len(inside))
        return tuple(fitted(each, kind) for each, kind in zip(value, inside, strict=True))
    return tuple(fitted(each, inside[0]) if inside else each for each in value)


def _numbers(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_numbers(each) for each in value)
    _require(isinstance(value, int | float) and not isinstance(value, bool))
    return value


def _words(kind: Any) -> str:
    if _is_literal(kind):
        return " or ".join(map(repr, typing.get_args(kind)))
    if kind in WORDS:
        return WORDS[kind]
    if _is_array(kind):
        return "a number or a list of numbers"
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind in SEQUENCES or origin in SEQUENCES:
        of = [each for each in inside if each is not Ellipsis]
        return "a list" + (f" of ({'), ('.join(map(described, of))})" if of else "")
    if kind in (dict, Mapping) or origin in (dict, Mapping):
        return "a section"
    return "a value" if kind is typing.Any else 'an import path "my_package.module:thing"'


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Literal


def _is_scalar(kind: Any) -> bool:
    return isinstance(kind, type) and (kind in (bool, int, float, complex) or issubclass(kind, np.generic))


def _is_array(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, jax.Array | np.ndarray | AbstractArray)


def _has_nan(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_nan, value))
    return isinstance(value, float) and math.isnan(value)


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError
