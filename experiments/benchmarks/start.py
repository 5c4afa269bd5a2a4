"""How long a person waits: for the command line, for the first step on a folder of their own, and for it the second time.

Each row is a process of its own. 300 images of several sizes are made in a temporary folder.

    python experiments/benchmarks/start.py
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def make_images(folder: Path, n: int = 300) -> None:
    """Squares on a ground, both of a random colour, in pictures of random sizes."""
    draw = np.random.default_rng(0)
    folder.mkdir()
    for i in range(n):
        height, width = draw.integers(40, 90, 2)
        image = np.full((height, width, 3), draw.integers(0, 256, 3), np.uint8)
        image[height // 4 : -height // 4, width // 4 : -width // 4] = draw.integers(0, 256, 3)
        Image.fromarray(image).save(folder / f"{i}.png")


def seconds(*words: str) -> float:
    """Of a whole process."""
    began = time.monotonic()
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - began


def first_step(folder: Path, workdir: Path, cache: Path) -> dict[str, float]:
    """Seconds after the command until compiling begins and until the first step is done."""
    command = [sys.executable, "main.py", "--config=configs/images.py", f"--config.data.path={folder}"]
    command += [f"--workdir={workdir}", f"--compilation_cache={cache}"]
    began, seen = time.monotonic(), {}
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        now = time.monotonic() - began
        if line.startswith("compiling the training step"):
            seen["until compiling"] = now
        if re.match(r"compiled the training step|step 1/", line):
            seen["until the first step is done"] = now
            break
    process.terminate()
    process.communicate()
    return seen


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make_images(place / "images")
        print(f"{'import jax':<52}{seconds('-c', 'import jax'):6.1f} s")
        print(f"{'import score_sde':<52}{seconds('-c', 'import score_sde'):6.1f} s")
        print(f"{'main.py --help':<52}{seconds('main.py', '--help'):6.1f} s")
        for run in ("first", "second"):
            for what, took in first_step(place / "images", place / run, place / "cache").items():
                print(f"{f'300 images, {run} time: {what}':<52}{took:6.1f} s")


if __name__ == "__main__":
    main()
