"""Weights of published networks: read from the user's file, or from the cache where ``install`` has put them."""

from pathlib import Path
from typing import Any

import numpy as np

from score_sde.checks import require
from score_sde.formats import pth, safetensors

CACHE = Path("~/.cache/score_sde/features")
SOURCES = {
    "inception": "pt_inception-2015-12-05-6726825d.pth, which pytorch-fid and torch-fidelity download",
    "dinov2": "dinov2_vitl14_pretrain.pth of torch hub, or model.safetensors of Hugging Face's facebook/dinov2-large",
}


def read(name: str, file: str | Path | None) -> dict[str, Any]:
    """The arrays of a file (.pth, .safetensors) by the names of its authors; without a file, those in the cache."""
    if file is None:
        file = installed(name)
        require(
            file.exists(),
            f"the weights of {name} are not installed ({file}); give a file, or run once: score_sde weights {name} FILE; "
            f"FILE is {SOURCES[name]}",
        )
    file = Path(file).expanduser()
    require(file.is_file(), f"{file} does not exist, or is no file; the weights of {name} are {SOURCES[name]}")
    return safetensors.read(file) if file.suffix == ".safetensors" else pth.read(file)


def install(name: str, file: str | Path) -> Path:
    """Write the weights to the cache as safetensors, under the same names."""
    arrays = {key: np.asarray(value) for key, value in read(name, file).items()}
    return safetensors.write(installed(name), arrays)


def installed(name: str) -> Path:
    """The place in the cache."""
    return CACHE.expanduser() / f"{name}.safetensors"
