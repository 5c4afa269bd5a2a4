"""Config files: a Python file with ``get_config()``, or the config.json of a workdir."""

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict


def read(path: str | Path) -> ConfigDict:
    """Read a config file, unchecked. A Python file is imported as a normal module."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no config file {path}")
    if path.suffix == ".json":
        try:
            return ConfigDict(json.loads(path.read_text()))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
    return as_config(_imported(path), path)


def as_config(module: Any, path: Path) -> ConfigDict:
    """The result of ``get_config()`` of a config file's module."""
    if not hasattr(module, "get_config"):
        raise ValueError(f"{path} defines no get_config(); a config file is a Python file with such a function")
    config = _failing_by_name(path, module.get_config)
    if not isinstance(config, Mapping | ConfigDict):
        raise ValueError(f"get_config() of {path} returned a {type(config).__name__}, not an ml_collections.ConfigDict")
    return ConfigDict(config)


def _imported(path: Path) -> Any:
    """Import the module; it can import from its own folder and from the folder above ``configs/``."""
    folder = path.resolve().parent
    roots = [str(parent.parent) for parent in (folder, *folder.parents) if parent.name == "configs"]
    before = list(sys.path)
    sys.path[:0] = [str(Path.cwd()), *roots, str(folder)]
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        _failing_by_name(path, lambda: spec.loader.exec_module(module))  # type: ignore[union-attr]
        return module
    finally:
        sys.path[:] = before


def _failing_by_name(path: Path, function: Any) -> Any:
    """The result of the function; other errors than ValueError become one that names this file."""
    try:
        return function()
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"the config file {path} failed: {type(error).__name__}: {error}") from error
