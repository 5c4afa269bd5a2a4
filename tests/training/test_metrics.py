"""Measurements: whole lines, none twice after a resume, and what Weights & Biases would be told."""

import sys
import types

import numpy as np
import pytest
from ml_collections import ConfigDict

from score_sde.training.metrics import Metrics, read


def test_lines_after_the_step_that_is_resumed_are_dropped(tmp_path):
    writer = Metrics(tmp_path, 0, ConfigDict(), tensorboard=False)
    for step in (10, 20, 30):
        writer.write(step, {"loss": 1 / step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # killed here
    assert [line["step"] for line in read(tmp_path)] == [10, 20, 30]
    Metrics(tmp_path, 20, ConfigDict(), tensorboard=False).write(30, {"loss": 7.0})
    assert [(line["step"], line["loss"]) for line in read(tmp_path)] == [(10, 0.1), (20, 0.05), (30, 7.0)]


def test_weights_and_biases(tmp_path, monkeypatch):
    """The same run after a restart; numbers and pictures under their step."""
    told = []
    run = types.SimpleNamespace(
        log=lambda values, step: told.append((step, values)), finish=lambda: told.append("finished")
    )
    starts = []
    module = types.SimpleNamespace(
        init=lambda **options: starts.append(options) or run, Image=lambda a: ("image", a.shape)
    )
    monkeypatch.setitem(sys.modules, "wandb", module)
    for step in (0, 10):
        writer = Metrics(tmp_path, step, ConfigDict({"seed": 1}), tensorboard=False, wandb="my_project")
        writer.write(step + 10, {"loss": 0.5})
        writer.image(step + 10, "samples", np.zeros((2, 3, 3), np.uint8))
        writer.close()
    one, other = starts
    assert one == other
    assert (one["project"], one["name"], one["resume"]) == ("my_project", tmp_path.name, "allow")
    assert told[:3] == [(10, {"loss": 0.5}), (10, {"samples": ("image", (2, 3, 3))}), "finished"]
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="wandb = 'my_project' needs Weights & Biases: pip install wandb"):
        Metrics(tmp_path, 0, ConfigDict(), tensorboard=False, wandb="my_project")
