"""Two configs compared, field by field."""

from collections.abc import Iterator, Mapping
from typing import Any


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every field, recursively through sections."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The differences between two configs, one line per field."""
    mine, theirs, absent = dict(flat(one)), dict(flat(other)), "absent"
    return [
        f"config.{path}: {mine.get(path, absent)!r} there, {theirs.get(path, absent)!r} here"
        for path in sorted({*mine, *theirs})
        if plain(mine.get(path, absent)) != plain(theirs.get(path, absent))
    ]


def plain(value: Any) -> Any:
    """Replace tuples by lists, as in JSON."""
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value
