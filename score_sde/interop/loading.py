"""Runs from the files of other code bases."""

from pathlib import Path

from ml_collections import ConfigDict

from score_sde.experiment import Run, experiment_of
from score_sde.interop import files
from score_sde.interop.models import model_with
from score_sde.interop.score_sde.translate import read_config


def load_foreign(path: str | Path, config: ConfigDict | str | Path, weights: str | None = None) -> Run:
    """The model in a file of any known kind (``files.opened``). ``config``: ours or the original's, as a file or a value.

    ``weights``: "ema" or "raw"; by default the averages if the file has them.
    """
    foreign = files.opened(path)
    name = next(iter(foreign.states)) if weights is None else weights
    if name not in foreign.states:
        raise ValueError(f"weights = {name!r}; {path} has {', '.join(map(repr, foreign.states))}")
    experiment = experiment_of(read_config(config))
    return Run(model_with(experiment, foreign.states[name]), experiment, foreign.step, name)
