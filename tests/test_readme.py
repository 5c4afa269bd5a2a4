"""Every Python block in the README runs, in order, as a reader would type them."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def test_python_blocks_run():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 3
    names: dict = {}
    for block in blocks:
        code = compile(block, str(README), "exec")
        if not block.startswith("# with your own files"):
            exec(code, names)
    assert names["model"].velocity(names["x_t"], 0.5).shape == (8, 2)


def test_commands_exist_and_explain_themselves():
    commands = set(re.findall(r"^python (-m [\w.]+(?: \w+)?|\S+\.py)", README.read_text(), flags=re.MULTILINE))
    assert len(commands) >= 3
    for command in commands:
        words = [sys.executable, *command.split(), "--help"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=README.parent)
        assert done.returncode == 0, done.stderr
        assert "usage:" in done.stdout


def test_make_targets_exist():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README.read_text(), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_links_lead_somewhere():
    for page in [README, *README.parent.glob("*.md"), *README.parent.glob("experiments/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
