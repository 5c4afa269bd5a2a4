"""The house: which rooms there are, from the ground up, and that no import runs back up or in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "score_sde"

SHARED = {
    "checks",
    "pytree",
    "randomness",
    "devices",
    "progress",
    "files",
    "formats",
    "objects",
    "parameters",
    "conditions",
}
FLOORS: list[set[str]] = [
    SHARED,
    {"sde", "networks", "text", "checkpoints", "box"},
    {"denoiser"},
    {"analytic", "flow_map"},
    {"data"},
    {"samplers"},
    {"guidance", "inverse", "losses"},
    {"likelihood", "control"},  # a bound is a loss at all times
    {"plots"},
    {"evaluation"},
    {"training"},
    {"tasks"},
    {"config"},
    {"experiment"},
    {"interop"},
    {"launch"},
    {"cli"},
    {"__main__", "__init__"},
]
"""A room imports from the floors below it. On one floor rooms do not see each other, but for the shared ones."""

FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
OWNERS = {  # packages that one room alone imports
    "orbax": {"checkpoints"},
    "grain": {"data"},
    "tensorflow_datasets": {"data"},
    "ml_collections": {"config", "experiment", "interop", "launch", "cli"},
}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file) for file in files()}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of every import in a file, those inside functions too; ``from a import b`` is a.b if that is one."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield (inside if inside in MODULES else str(node.module)), node.lineno


def arrows() -> Iterator[tuple[str, str, str]]:
    for file in files():
        for module, line in imports(file):
            if module.split(".")[0] == "score_sde":
                yield module_of(file), module, f"{file.relative_to(PACKAGE.parent)}:{line}"


def test_every_room_has_a_floor():
    assert {room_of(module) for module in MODULES} <= set(FLOOR)


def test_no_arrow_runs_back_up():
    up = []
    for source, target, where in arrows():
        one, other = room_of(source), room_of(target)
        if one == other or one == "__init__":
            continue
        below = FLOOR[other] < FLOOR[one] or (one in SHARED and other in SHARED)
        if not below:
            up.append(f"{where}: {one} imports {other}")
    assert not up, "\n".join(up)


def test_no_circle_among_files():
    """Over files, so that a circle within a room counts too."""
    graph: dict[str, set[str]] = {}
    for source, target, _ in arrows():
        graph.setdefault(source, set()).add(target)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for target in graph.get(module, ()):
                visit(target, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_no_import_of_ours_is_hidden_in_a_function():
    hidden = []
    for file in files():
        if file.name == "__init__.py" and file.parent == PACKAGE:
            continue  # its rooms come in when they are first used
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("score_sde"):
                        hidden.append(f"{file.relative_to(PACKAGE.parent)}:{node.lineno}")
    assert not hidden, hidden


@pytest.mark.parametrize(("package", "rooms"), OWNERS.items(), ids=OWNERS.keys())
def test_a_package_has_its_room(package, rooms):
    found = {
        room_of(module_of(file)) for file in files() for module, _ in imports(file) if module.split(".")[0] == package
    }
    assert found <= rooms
    assert found
