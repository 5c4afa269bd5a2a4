"""Two processes evaluate as one does, also when they were stopped in between."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest


def run(folder, *options, processes):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.evaluation.hosts", str(folder), f"--processes={processes}", *options]
    running = [
        subprocess.Popen([*command, f"--process={k}", f"--port={port}"], stderr=subprocess.PIPE, text=True)
        for k in range(processes)
    ]
    errors = [process.communicate(timeout=300)[1] for process in running]
    assert all(process.returncode == 0 for process in running), errors[0][-2000:] + errors[-1][-2000:]


@pytest.mark.slow
def test_two_processes_are_as_one(tmp_path):
    run(tmp_path / "one", processes=1)
    run(tmp_path / "two", "--stop_after=1", processes=2)
    assert int(np.load(tmp_path / "two" / "7_bits.npz")["done"]) == 6
    run(tmp_path / "two", processes=2)
    one, two = (json.loads((tmp_path / name / "7.json").read_text()) for name in ("one", "two"))
    assert one["bits"]["mean"] == pytest.approx(two["bits"]["mean"], rel=1e-5)
    with np.load(tmp_path / "one" / "samples.npz") as a, np.load(tmp_path / "two" / "samples.npz") as b:
        assert a["data"].shape == (13, 2)
        np.testing.assert_array_equal(a["data"], b["data"])
