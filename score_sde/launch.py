"""``ss.train``: a training from a config in any schema that we read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from score_sde import experiment
from score_sde.interop import read_config


def train(config: ConfigDict | Mapping[str, Any] | str | Path, workdir: str | Path, **options: Any) -> experiment.Run:
    """Train what a config describes, in a workdir; the run that is returned is what ``ss.load(workdir)`` gives.

    ``config``: a ConfigDict, or a config file, of ours or of yang-song/score_sde. The same call on the same workdir goes on
    where it stopped. ``options``: ``hooks``, ``replace_config`` (see ``score_sde.experiment.train``).
    """
    if isinstance(config, str | Path | ConfigDict):
        config = read_config(config)
    return experiment.train(config, workdir, **options)
