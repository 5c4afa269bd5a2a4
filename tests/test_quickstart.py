"""It learns: the quickstart with a sixteenth of its steps, judged as `make quickstart` judges it, within wider limits.

The full run's limits are in experiments/quickstart/judge.py; its figures in the README beside it.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"recognised": (0.2, np.inf), "frechet": (0, 4.0), "rarest": (0.02, 1), "commonest": (0, 0.3)}
LIMITS |= {"nearest": (0.8, np.inf), "bits_per_dim": (1.5, 2.3)}


@pytest.fixture(scope="module")
def judge():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("judge", ROOT / "experiments" / "quickstart" / "judge.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_learns(judge, tmp_path):
    workdir = tmp_path / "run"
    command = [sys.executable, "main.py", "--config=configs/quickstart.py", f"--workdir={workdir}"]
    command += [
        "--config.training.steps=500",
        "--config.training.evaluate_every=500",
        "--config.logging.preview=0",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"XLA_FLAGS": ""}
    )
    assert done.returncode == 0, done.stderr
    found = judge.judge(workdir, samples=355, repeats=1, images=32)
    for name, (low, high) in LIMITS.items():
        assert low <= found[name] <= high, found
    for picture in ("real_and_generated.png", "figures.json"):
        assert (workdir / "reports" / picture).exists()


def test_the_judge_knows_real_digits_noise_and_copies(judge):
    """Of held-out digits all figures are 1; noise is no digit; what was copied from the training set is too near."""
    train, test = (judge.ss.data.open_source("digits", split).data for split in ("train", "test"))
    real = judge.figures(test)
    np.testing.assert_allclose([real["recognised"], real["frechet"], real["nearest"]], 1, rtol=1e-6)
    assert 0.08 < real["rarest"] < real["commonest"] < 0.12
    noise = judge.figures(np.random.default_rng(0).integers(0, 17, test.shape))
    assert noise["recognised"] < 0.6
    assert noise["frechet"] > 20
    assert judge.figures(train[:355])["nearest"] == 0
    same = judge.figures(np.repeat(test[:1], 355, axis=0))
    assert same["commonest"] == 1
    assert same["frechet"] > 20
