"""The mesh of all devices of all hosts, placing arrays on it, and communication between hosts."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

AXIS = "data"
"""The name of the only axis."""


def mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with one axis, called "data", over these devices, by default all of them."""
    devices = tuple(devices or jax.devices())
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def divided(mesh: Mesh) -> NamedSharding:
    """The sharding of an array's first axis over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def whole(mesh: Mesh) -> NamedSharding:
    """The replicated sharding."""
    return NamedSharding(mesh, PartitionSpec())


def round_up(size: int, mesh: Mesh) -> int:
    """The next multiple of the number of devices."""
    return -(-size // mesh.size) * mesh.size


def put(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Place arrays on devices, including those of other hosts; every host must hold the whole arrays."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: _put(leaf, sharding), tree)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if jnp.issubdtype(getattr(leaf, "dtype", float), jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    value = np.asarray(leaf)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def gathered(tree: PyTree) -> PyTree:
    """Gather arrays that may be sharded over devices and hosts into whole copies on this host's first device."""
    if not all(leaf.is_fully_addressable for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)):
        from jax.experimental import multihost_utils

        tree = multihost_utils.process_allgather(tree, tiled=True)
    return jax.device_put(jax.device_get(tree), jax.local_devices()[0])


def wait_for_all(what: str) -> None:
    """Wait until all hosts have called this; ``what`` must be equal on all of them."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)


def agreed(number: int) -> int:
    """The first host's number, on every host."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(jnp.array(number)))


def any_host(flag: bool) -> bool:
    """Whether the flag is set on any host; all hosts return the same value."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(jnp.any(multihost_utils.process_allgather(jnp.array(flag))))
