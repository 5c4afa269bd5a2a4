"""A packed run: a model for others in one small folder, without the states, logs and pictures of a workdir.

config.json            the versioned config, with every default
weights.safetensors    one set of weights, float16 unless told otherwise; constants keep their precision
card.json              where they come from, their hash, and what was measured with them
"""

import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from score_sde import checkpoints, parameters
from score_sde.checks import require
from score_sde.experiment.card import Card, read_card, write_card
from score_sde.experiment.run import Run
from score_sde.experiment.workdir import git_commit
from score_sde.files import written_whole
from score_sde.formats import safetensors

CONFIG, WEIGHTS, CARD = "config.json", "weights.safetensors", "card.json"


def is_packed(folder: str | Path) -> bool:
    """Whether a folder holds a packed run."""
    return (Path(folder) / WEIGHTS).is_file() and (Path(folder) / CARD).is_file()


def pack(run: Run, folder: str | Path, *, precision: safetensors.Precision = "float16", **about: Any) -> Card:
    """Write the model of a run as a packed run, and return its card.

    ``about``: the entries of ``Card`` that the run does not know: title, about, data, licence, command, hours, machine.
    """
    folder = Path(folder)
    require(
        not folder.exists() or is_packed(folder) or not any(folder.iterdir()), f"{folder} is not empty; give another"
    )
    trained, constants, _ = parameters.split(run.experiment.task.trained(run.model))
    stored = {name: np.asarray(value).astype(precision) for name, value in trained.items()}
    stored |= {name: np.asarray(value) for name, value in constants.items()}
    launches = [] if run.workdir is None else (run.workdir / "launches.jsonl").read_text().splitlines()
    launch = json.loads(launches[-1]) if launches else {"git": git_commit(), "time": time.strftime("%Y-%m-%d")}
    card = Card(
        seed=run.config.seed,
        commit=str(launch["git"]),
        date=str(launch["time"])[:10],
        step=run.step or 0,
        weights=run.weights,
        parameters=sum(value.size for value in trained.values()),
        hash=_hash(stored),
        **about,
    )
    safetensors.write(folder / WEIGHTS, stored, metadata={"hash": card.hash})
    with written_whole(folder / CONFIG) as part:
        part.write_text(json.dumps(run.config.to_dict(), indent=2, default=list) + "\n")
    write_card(folder / CARD, card)
    return card


def arrays_of(folder: str | Path) -> tuple[dict[str, jax.Array], Card]:
    """The arrays of a packed run as float32, and its card; a ValueError if the weights are not those of the card."""
    folder = Path(folder)
    card, stored = read_card(folder / CARD), safetensors.read(folder / WEIGHTS, precision=None)
    found = _hash(stored)
    require(
        found == card.hash,
        f"{folder / WEIGHTS} is damaged or not the one that {CARD} describes: its hash is {found}, the card has "
        f"{card.hash}. Install the package again, or fetch the folder again",
    )
    floating = {name: np.issubdtype(value.dtype, np.floating) for name, value in stored.items()}
    arrays = {name: value.astype(np.float32) if floating[name] else value for name, value in stored.items()}
    return {name: jax.numpy.asarray(value) for name, value in arrays.items()}, card


def _hash(stored: dict[str, np.ndarray]) -> str:
    return checkpoints.hash_of(stored)
