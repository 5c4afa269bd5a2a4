"""Objects by import path, ``"package.module:thing"``, with which a config names objects outside this package."""

import importlib
from typing import Any

from score_sde.checks import require


def import_object(path: str) -> Any:
    """The object at this path; ``thing`` may be an attribute of a class, ``"package.module:Class.method"``.

    A ValueError names the part that cannot be found. An ImportError or TypeError in the module becomes a ValueError
    too; its other errors are not caught.
    """
    name, _, thing = path.partition(":")
    form = "give it as 'package.module:thing'"
    require(bool(name) and bool(thing), f"{path!r} is no import path; {form}")
    try:
        found: Any = importlib.import_module(name)
    except (ImportError, TypeError) as error:  # TypeError: a relative name
        raise ValueError(f"{path!r} cannot be imported: {error}; {form} of a module that Python finds") from error
    for part in thing.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{path!r} cannot be imported: {_named(found, name)} has no {part!r}; {form}")
        found = getattr(found, part)
    return found


def _named(found: Any, name: str) -> str:
    return f"module {name}" if hasattr(found, "__spec__") else getattr(found, "__qualname__", repr(found))
