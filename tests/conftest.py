"""What the tests share: the reference arrays, every SDE, and mixtures small enough to know everything about."""

import json
import os
import resource
from pathlib import Path

from tests.flags import QUICK

# XLA compiles quickly, and keeps what took long for the other processes and for the next time (make clean forgets it).
# XLA_FLAGS= make test runs the tests as users run the library.
os.environ.setdefault("XLA_FLAGS", QUICK)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".cache" / "jax"))

import jax
import jaxtyping
import numpy as np
import pytest

import score_sde as ss

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "score_sde_pytorch"

SDES = {
    "VP": ss.VP(),
    "SubVP": ss.SubVP(),
    "VE": ss.VE(),
    "Cosine": ss.Cosine(),
    "Cosine-iDDPM": ss.Cosine(offset=0.008),
    "EDM": ss.EDM(),
    "FlowMatching": ss.FlowMatching(),
}


@pytest.fixture(params=SDES.values(), ids=SDES.keys())
def sde(request) -> ss.SDE:
    """Every SDE in turn."""
    return request.param


@pytest.fixture(autouse=True, scope="module")
def _memory():
    """Compiled programs are forgotten before they take too much: a thousand tests' would fill many gigabytes."""
    yield
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 4e6:  # kilobytes
        jax.clear_caches()


@pytest.fixture
def unchecked():
    """One test as users run the library: without checks of types and shapes, which would answer before our own words."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def reference():
    """A function from a file's name in the reference data to its arrays and its entry in the index."""
    if not (REFERENCE / "index.json").exists():
        pytest.skip("the reference data (../shared/reference beside the repository) are not on this machine")
    index = {entry["file"]: entry for entry in json.loads((REFERENCE / "index.json").read_text())["files"]}

    def load(name: str) -> tuple[dict[str, np.ndarray], dict]:
        with np.load(REFERENCE / name) as arrays:
            return dict(arrays), index[name]

    return load


def times(sde: ss.SDE, n: int = 64, dtype=np.float32) -> np.ndarray:
    """Times from t_min to t_max_sampling, dense near t_min, each a float32 number."""
    grid = np.geomspace(sde.t_min, sde.t_max_sampling, n).astype(np.float32)
    return np.clip(grid, np.float32(sde.t_min), np.float32(sde.t_max_sampling)).astype(dtype)
