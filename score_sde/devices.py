"""All devices of all hosts as one row, what lies on them, and what the hosts must agree about."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

AXIS = "data"
"""The name of the one axis."""


def mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """One axis, called "data", over these devices; over all of them unless given."""
    devices = tuple(devices or jax.devices())
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def divided(mesh: Mesh) -> NamedSharding:
    """The first axis of an array divided over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def whole(mesh: Mesh) -> NamedSharding:
    """The whole array on each device."""
    return NamedSharding(mesh, PartitionSpec())


def round_up(size: int, mesh: Mesh) -> int:
    """The next multiple of the number of devices."""
    return -(-size // mesh.size) * mesh.size


def put(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Arrays laid out over devices, also those of other hosts: every host has the whole arrays before."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: _put(leaf, sharding), tree)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if jnp.issubdtype(getattr(leaf, "dtype", float), jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    value = np.asarray(leaf)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def gathered(tree: PyTree) -> PyTree:
    """Arrays that may be divided over devices and hosts, as whole copies on the first device of this host."""
    if not all(leaf.is_fully_addressable for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)):
        from jax.experimental import multihost_utils

        tree = multihost_utils.process_allgather(tree, tiled=True)
    return jax.device_put(jax.device_get(tree), jax.local_devices()[0])


def wait_for_all(what: str) -> None:
    """Until every host has come here; ``what`` must be the same word on each."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)


def agreed(number: int) -> int:
    """The main host's number, on every host."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(jnp.array(number)))


def any_host(flag: bool) -> bool:
    """Whether the flag is set on any host; the same answer on each."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(jnp.any(multihost_utils.process_allgather(jnp.array(flag))))
