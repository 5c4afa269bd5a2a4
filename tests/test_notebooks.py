"""Every notebook runs from top to bottom, alone: nothing from the network, nothing that lies beside the repository."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
EXTRAS = "pip install -e '.[notebooks]'"
SECONDS = 120  # for one cell; a whole notebook takes half a minute on two cores that have nothing else to do

# Python runs a sitecustomize.py when it starts: this one ends the notebook that reaches out.
GUARD = """
import os, sys

ALLOWED = tuple(os.path.realpath(path) for path in {allowed!r})
BESIDE = os.path.realpath({beside!r}) + os.sep
LOCAL = ("127.0.0.1", "::1", "localhost")


def guard(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in LOCAL:
        raise PermissionError(f"a notebook needs the network: {{arguments[1]}}")
    if event == "open" and isinstance(arguments[0], str | os.PathLike):
        path = os.path.realpath(arguments[0])
        writes = isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if writes and path.startswith(ALLOWED[0] + os.sep) and "__pycache__" not in path and ".cache" not in path:
            raise PermissionError(f"a notebook writes into the repository: {{path}}")
        beside = path.startswith(BESIDE) and not path.removeprefix(BESIDE).startswith(".")  # such as ~/.config
        if beside and not path.startswith(ALLOWED):
            raise PermissionError(f"a notebook needs a file from outside the repository: {{path}}")


sys.addaudithook(guard)
"""


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def text(cell: dict) -> str:
    return "".join(cell["source"])


def test_there_are_eight():
    assert [path.name[:3] for path in NOTEBOOKS] == ["01_", "02_", "03_", "04_", "05_", "06_", "07_", "09_"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> Path:
    return request.param


def test_outputs_are_stripped(notebook):
    """What is committed is what was written: no outputs, no counts, no machine; cells keep their names between versions."""
    whole = json.loads(notebook.read_text())
    for cell in cells(notebook, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}
    assert whole["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert set(whole["metadata"]) == {"kernelspec", "language_info"}
    names = [cell["id"] for cell in whole["cells"]]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() for name in names)  # given by hand


def test_without_the_extras_it_says_what_to_do(notebook, monkeypatch):
    """The first cell, where the library itself is missing: one sentence with the command."""
    monkeypatch.setitem(sys.modules, "score_sde", None)
    with pytest.raises(SystemExit, match=r"score_sde.* is missing\. .* pip install -e '\.\[notebooks\]'"):
        exec(text(cells(notebook, "code")[0]), {})


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """The environment of a process that is watched."""
    allowed = [str(REPOSITORY), sys.prefix, sys.base_prefix, str(tmp_path)]
    allowed += [os.environ[name] for name in ("JAX_COMPILATION_CACHE_DIR", "MPLCONFIGDIR") if name in os.environ]
    for folder in ("guard", "tmp", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD.format(allowed=allowed, beside=str(REPOSITORY.parent)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "guard"), str(REPOSITORY)]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("open(r'{beside}/data.npz', 'rb')", "needs a file from outside the repository"),
        ("open(r'{inside}/notes.txt', 'w')", "writes into the repository"),
        ("import socket; socket.create_connection(('192.0.2.1', 80), 1)", "needs the network"),
    ],
)
def test_the_guard_guards(guarded, code, words):
    code = code.format(beside=REPOSITORY.parent, inside=REPOSITORY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"PermissionError: a notebook {words}" in done.stderr


SLOW = dict.fromkeys(
    ("03_likelihood", "05_from_score_sde", "06_inverse_problems", "07_text_and_control", "09_few_steps"),
    pytest.mark.slow,
)  # their parts have tests of their own


@pytest.mark.parametrize(
    "notebook", [pytest.param(path, marks=SLOW.get(path.stem, ()), id=path.stem) for path in NOTEBOOKS]
)
def test_it_runs(notebook, guarded, tmp_path):
    try:
        import nbformat
        from ipykernel.kernelspec import get_kernel_dict
        from jupyter_client import AsyncKernelManager
        from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
        from nbclient import NotebookClient
    except ModuleNotFoundError as missing:
        pytest.skip(f"{missing.name} is not installed: {EXTRAS}")

    class ThisPython(KernelSpecManager):
        """Whatever kernels are registered on this machine, the one that runs the tests."""

        def get_kernel_spec(self, kernel_name):
            return KernelSpec(resource_dir="", **get_kernel_dict())

    opened = nbformat.read(notebook, as_version=4)
    nbformat.validate(opened)
    opened.cells.append(nbformat.v4.new_code_cell("import sitecustomize; sitecustomize.guard"))  # it was on watch
    client = NotebookClient(
        opened,
        timeout=SECONDS,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython()),
        resources={"metadata": {"path": str(tmp_path / "notebooks")}},
    )
    client.execute(cleanup_kc=True)  # raises with the cell and its traceback; the kernel ends with it
    assert all(cell.execution_count for cell in opened.cells if cell.cell_type == "code")
    errors = [out for cell in opened.cells for out in cell.get("outputs", []) if out.output_type == "error"]
    assert not errors
    pictures = [
        out
        for cell in opened.cells
        for out in cell.get("outputs", [])
        if {"image/png", "text/html"} & set(out.get("data", {}))
    ]
    assert len(pictures) >= 1
    assert not list((tmp_path / "notebooks").iterdir())  # a reader's folder is left as it was
