"""Checkpoints, the one place that knows Orbax."""

from collections.abc import Mapping
from pathlib import Path

import jax
from jaxtyping import Array
from orbax.checkpoint import v1 as ocp

Groups = Mapping[str, Mapping[str, Array]]


def save_arrays(path: Path, groups: Groups) -> None:
    """Write named groups of named arrays; the folder takes its name when it is whole."""
    ocp.save(path.resolve(), {name: dict(arrays) for name, arrays in groups.items()})


def load_arrays(path: Path) -> dict[str, dict[str, Array]]:
    """Read them again; a ValueError if the folder is no whole checkpoint."""
    try:
        stored = ocp.metadata(path.resolve()).metadata
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        wanted = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), stored)
        return ocp.load(path.resolve(), wanted)
    except Exception as error:  # Orbax and TensorStore raise errors of many kinds for a damaged folder
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"the checkpoint {path} is damaged or half-written ({reason}); use another step") from error
