"""Every Python block in the README runs, in order, as a reader would type them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


def test_python_blocks_run():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 3
    names: dict = {}
    for block in blocks:
        code = compile(block, str(README), "exec")
        if not block.startswith("# with your own files"):
            exec(code, names)
    assert names["model"].velocity(names["x_t"], 0.5).shape == (16, 2)


PAGES = [README, *sorted(README.parent.glob("*.md")), *sorted(README.parent.glob("experiments/**/*.md"))]


def commands(page: Path) -> set[str]:
    """What a page tells its reader to run, without arguments."""
    return set(
        re.findall(r"(?:^|[`|] ?)\s*python (-m [\w.]+(?: \w+)?|[\w/]+\.py)", page.read_text(), flags=re.MULTILINE)
    )


EVERYWHERE = sorted(set().union(*map(commands, PAGES)) - commands(README))


@pytest.mark.parametrize(
    "command", [*sorted(commands(README)), *(pytest.param(c, marks=pytest.mark.slow) for c in EVERYWHERE)]
)
def test_commands_exist_and_explain_themselves(command):
    words = [sys.executable, *command.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=README.parent)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_there_are_commands():
    everywhere = set().union(*map(commands, PAGES))
    assert len(everywhere) >= 12
    for command in everywhere:
        assert command.startswith("-m") or (README.parent / command).exists(), command


def test_make_targets_exist():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README.read_text(), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
