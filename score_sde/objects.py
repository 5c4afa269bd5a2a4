"""Objects by their import paths, ``"my_package.module:thing"``."""

import importlib
from typing import Any


def import_object(path: str) -> Any:
    """The object at this path; a ValueError that says what of it cannot be found."""
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"cannot import {path!r} ({error}); give it as my_package.module:thing") from error
    return found
