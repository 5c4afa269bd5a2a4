"""``ss.train``: training from a config in any supported schema."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from score_sde import experiment
from score_sde.interop import read_config


def train(config: ConfigDict | Mapping[str, Any] | str | Path, workdir: str | Path, **options: Any) -> experiment.Run:
    """Train the experiment of a config in a workdir; returns the same run as ``ss.load(workdir)``.

    ``config``: a ConfigDict or a config file, in our schema or that of yang-song/score_sde. The same call on the same
    workdir resumes training. ``options``: ``hooks``, ``replace_config`` (see ``score_sde.experiment.train``).
    """
    if isinstance(config, str | Path | ConfigDict):
        config = read_config(config)
    return experiment.train(config, workdir, **options)
