"""Checkpoints, written atomically with a hash of every file: states to resume from, and light snapshots of weights."""

from score_sde.checkpoints.states import Checkpoints, check_about, resumed
from score_sde.checkpoints.store import DamagedError, load_arrays
from score_sde.checkpoints.weights import find, hash_of, save, snapshots, steps

__all__ = [
    "Checkpoints",
    "DamagedError",
    "check_about",
    "find",
    "hash_of",
    "load_arrays",
    "resumed",
    "save",
    "snapshots",
    "steps",
]
