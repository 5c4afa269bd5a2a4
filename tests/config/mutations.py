"""Configs with one thing wrong, or at least other: a walk over the fields of what a config names.

Each mutation is a config and what is known about it: the path that was touched, and whether it must be refused.
"""

import copy
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from score_sde.config.parts import MANY, NESTED, SECTIONS, Part
from score_sde.config.schema import find
from score_sde.config.signatures import Field, fields_of
from score_sde.config.types import fitted

WRONG = ("lower", 3.7, True, None, [1, "a"], -2)
NUMBERS = (-1, 0, 0.5, 2, 10**6)


class Mutation(NamedTuple):
    kind: str
    path: str
    config: dict[str, Any]
    refused: bool
    """Whether it cannot be valid."""


class Place(NamedTuple):
    """One field of one part, where the config has it or would have it."""

    path: tuple[str, ...]
    field: Field
    given: bool


def places(config: dict[str, Any]) -> list[Place]:
    """Every field of every part that the config names, nested ones too."""
    found: list[Place] = []
    for name, part in SECTIONS.items():
        if config.get(name) is not None:
            found += _fields((name,), part, config[name])
    for name, part in MANY.items():
        for key, value in config.get(name, {}).items():
            found += _fields((name, key), part, value)
    return found


def _fields(path: tuple[str, ...], part: Part, section: Any) -> Iterator[Place]:
    section = {"name": section} if isinstance(section, str) else section
    constructor = find("", part, section.get("name", part.default))[1]
    for key, field in (fields_of(constructor, (*part.given, "name")) or {}).items():
        if key in NESTED and isinstance(section.get(key), dict | str):
            yield from _fields((*path, key), NESTED[key], section[key])
        elif key not in NESTED:
            yield Place((*path, key), field, key in section)


def mutations(base: dict[str, Any], count: int, seed: int) -> Iterator[Mutation]:
    """``count`` mutations of a config, each of another kind in turn."""
    dice = random.Random(seed)
    everything = places(base)
    kinds = (
        drop,
        rename,
        wrong_type,
        section_for_value,
        value_for_section,
        nan,
        out_of_range,
        wrong_choice,
        unknown_section,
    )
    made = 0
    while made < count:
        mutation = kinds[made % len(kinds)](base, dice.choice(everything), dice)
        if mutation is not None:
            made += 1
            yield mutation


def drop(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    if not place.given:
        return None
    config = copy.deepcopy(base)
    del _inside(config, place.path[:-1])[place.path[-1]]
    return Mutation("drop", ".".join(place.path), config, refused=False)


def rename(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    name = place.path[-1]
    at = dice.randrange(len(name))
    other = name[:at] + name[at] + name[at:]  # a letter twice
    value = _inside(base, place.path[:-1]).get(name, place.field.default)
    return Mutation("rename", other, with_value(base, (*place.path[:-1], other), value), refused=True)


def wrong_type(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    wrong = [value for value in WRONG if not fits(value, place.field)]
    return _set("wrong type", base, place, dice.choice(wrong), refused=True) if wrong else None


def section_for_value(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    return None if fits({"a": 1}, place.field) else _set("section for value", base, place, {"a": 1}, refused=True)


def value_for_section(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    config = copy.deepcopy(base)
    config[place.path[0]] = dice.choice([7, 0.5, True, [1]])
    return Mutation("value for section", place.path[0], config, refused=True)


def nan(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    return _set("NaN", base, place, float("nan"), refused=True) if fits(0.5, place.field) else None


def out_of_range(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    values = [value for value in NUMBERS if fits(value, place.field)]
    return _set("out of range", base, place, dice.choice(values), refused=False) if values else None


def wrong_choice(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    section = dice.choice([name for name in base if name in SECTIONS and not SECTIONS[name].only])
    return Mutation(
        "wrong choice", f"{section}.name", with_value(base, (section, "name"), "no_such_thing"), refused=True
    )


def unknown_section(base: dict, place: Place, dice: random.Random) -> Mutation | None:
    name = dice.choice([*SECTIONS, *MANY])
    return Mutation("unknown section", name + "s", {**copy.deepcopy(base), name + "s": {}}, refused=True)


def fits(value: Any, field: Field) -> bool:
    try:
        fitted(value, field.annotation)
    except ValueError:
        return False
    return True


def with_value(base: dict, path: tuple[str, ...], value: Any) -> dict:
    config = copy.deepcopy(base)
    _inside(config, path[:-1])[path[-1]] = value
    return config


def _set(kind: str, base: dict, place: Place, value: Any, refused: bool) -> Mutation | None:
    return Mutation(kind, ".".join(place.path), with_value(base, place.path, value), refused)


def _inside(config: dict, path: tuple[str, ...]) -> dict:
    for name in path:
        if isinstance(config.get(name), str):
            config[name] = {"name": config[name]}
        config = config.setdefault(name, {})
    return config
