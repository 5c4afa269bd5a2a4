"""Running the original's config files unmodified.

A config file of score_sde is a Python program that imports its defaults from ``configs.default_…_configs`` and asks
``torch`` for a device. Neither has to be installed: these two imports are replaced while the file runs, without
changing the caller's environment (``sys.path``, ``sys.modules``). Default configs in the file's own tree take
precedence over ours.
"""

import ast
import builtins
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from score_sde.interop.score_sde.defaults import DEFAULTS


def is_original_file(path: Path) -> bool:
    """Whether a Python file imports torch or the original's defaults, as only the original's config files do."""
    if path.suffix != ".py" or not path.is_file():
        return False
    try:
        tree = ast.parse(path.read_text())
    except SyntaxError:
        return False  # the import of the file reports it
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return any(name.split(".")[0] == "torch" or name.split(".")[-1] in DEFAULTS for name in imported)


def run_config_file(path: str | Path) -> ConfigDict:
    """The result of ``get_config()`` of the file, in the schema of the file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no config file {path}")
    module = _run(path)
    if "get_config" not in module:
        raise ValueError(f"{path} defines no get_config(); a config file of score_sde does")
    config = _failing_by_name(path, module["get_config"])
    if not isinstance(config, ConfigDict):
        raise ValueError(f"get_config() of {path} returned a {type(config).__name__}, not an ml_collections.ConfigDict")
    return config


def _run(path: Path) -> dict[str, Any]:
    """Execute a file with imports handled by ``_importer``, and return its names."""
    names: dict[str, Any] = {
        "__name__": path.stem,
        "__file__": str(path),
        "__builtins__": {**vars(builtins), "__import__": _importer(path)},
    }
    _failing_by_name(path, lambda: exec(compile(path.read_text(), str(path), "exec"), names))
    return names


def _failing_by_name(path: Path, function: Callable[[], Any]) -> Any:
    """The result of the function; other errors than ValueError become one that names this file."""
    try:
        return function()
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"the config file {path} failed: {type(error).__name__}: {error}") from error


def _importer(path: Path) -> Callable:
    """The implementation of ``import`` for a config file at this path."""

    def importing(name: str, globals_=None, locals_=None, fromlist=(), level: int = 0) -> Any:
        if name == "torch" or name.startswith("torch."):
            return _Inert("torch")
        if name == "configs" or name.startswith("configs."):
            return _from_configs(path, name, tuple(fromlist or ()))
        return builtins.__import__(name, globals_, locals_, fromlist, level)

    return importing


def _from_configs(path: Path, name: str, fromlist: tuple[str, ...]) -> types.SimpleNamespace:
    """``import configs.a.b`` returns configs, ``from configs.a import b`` returns configs.a, as in Python."""
    parts = name.split(".")[1:]
    if fromlist and (parts[-1:] and (parts[-1] in DEFAULTS or _beside(path, parts))):
        return _module(path, parts)
    if fromlist:  # from configs[.a] import default_x_configs
        return types.SimpleNamespace(**{part: _module(path, [*parts, part]) for part in fromlist})
    root = inner = types.SimpleNamespace()
    for part in parts[:-1]:
        setattr(inner, part, types.SimpleNamespace())
        inner = getattr(inner, part)
    setattr(inner, parts[-1], _module(path, parts))
    return root


def _module(path: Path, parts: list[str]) -> types.SimpleNamespace:
    """The module configs.PARTS: the file in the tree of ``path`` if there is one, else our defaults."""
    file = _beside(path, parts)
    if file is not None:
        return types.SimpleNamespace(**_run(file))
    if parts[-1] in DEFAULTS:
        return types.SimpleNamespace(get_default_configs=DEFAULTS[parts[-1]])
    raise ValueError(
        f"{path} imports configs.{'.'.join(parts)}, which is not beside it and is none of the original's "
        f"({', '.join(sorted(DEFAULTS))}); put the file into the same configs/ folder"
    )


def _beside(path: Path, parts: list[str]) -> Path | None:
    """configs/PARTS.py in the nearest folder configs/ above the file, or PARTS.py next to it."""
    for folder in path.resolve().parents:
        file = folder.joinpath(*parts).with_suffix(".py")
        if (folder.name == "configs" or folder == path.resolve().parent) and file.is_file() and file != path.resolve():
            return file
    return None


class _Inert:
    """A placeholder for torch that evaluates ``torch.device("cuda:0") if torch.cuda.is_available() else …``."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> "_Inert":
        return _Inert(f"{self._name}.{name}")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return False if self._name.endswith("is_available") else self._name

    def __bool__(self) -> bool:
        return False
