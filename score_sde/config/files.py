"""Config files: ours, the original's, and the config.json of a workdir."""

import json
from pathlib import Path

from ml_collections import ConfigDict


def read(path: str | Path) -> ConfigDict:
    """The config of a file in our schema; one of the original's is translated."""
    from score_sde.interop import read_config

    path = Path(path)
    return ConfigDict(json.loads(path.read_text())) if path.suffix == ".json" else read_config(path)
