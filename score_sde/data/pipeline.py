"""From batches to the devices: Grain reads ahead in threads or worker processes and keeps the place.

A pipeline is a ``grain.IterDataset``; ``iter(pipeline)`` has ``get_state()`` and ``set_state(state)``, and Orbax stores
it as it is. As a batch is a function of its step, ``seek(iterator, step)`` does the same without a stored state, and
also when the number of workers or hosts has changed in between.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from absl import flags

from score_sde.checks import require
from score_sde.data.batches import Batches
from score_sde.data.source import Examples

if TYPE_CHECKING:  # Grain comes in when a pipeline is made, not when this package is imported
    import grain


def training_batches(
    source: Any,
    batch_size: int,
    *,
    seed: int = 0,
    flip: bool | None = None,
    labels: bool | None = None,
    sharding: jax.sharding.Sharding | None = None,
    workers: int = 0,
) -> "grain.IterDataset":
    """Shuffled batches without end, this host's share, on the devices if a sharding is given.

    ``flip``: None flips a source of which a mirrored example is as good as the example itself.
    """
    flip = source.flippable if flip is None else flip
    batches = Batches(
        source, batch_size, seed, flip=flip, labels=labels, host=jax.process_index(), hosts=jax.process_count()
    )
    pipeline = as_grain(batches, workers=workers)
    return pipeline if sharding is None else to_devices(pipeline, sharding, batch_size)


def evaluation_batches(
    source: Any,
    batch_size: int,
    *,
    labels: bool | None = None,
    sharding: jax.sharding.Sharding | None = None,
    workers: int = 0,
) -> "grain.IterDataset":
    """The whole split once, in order, unflipped. The last batch is shorter; with a sharding or several hosts it is
    filled up, and ``valid`` tells the examples from the filling.
    """
    hosts = jax.process_count()
    pad = hosts > 1 or sharding is not None
    batches = Batches(
        source,
        batch_size,
        shuffle=False,
        labels=labels,
        epochs=1,
        pad=pad,
        host=jax.process_index(),
        hosts=hosts,
    )
    pipeline = as_grain(batches, workers=workers)
    return pipeline if sharding is None else to_devices(pipeline, sharding, batch_size)


def as_grain(batches: Batches, *, workers: int = 0, threads: int = 2, ahead: int = 4) -> "grain.IterDataset":
    """The batches in order, up to ``ahead`` of them read before they are asked for, by threads of this process or by
    ``workers`` processes (each is sent the source, so a script that uses them needs ``if __name__ == "__main__":``).

    Threads suffice for arrays and for decoding images, during which Python's lock is free; processes pay where a
    source works in Python.
    """
    import grain

    require(workers >= 0, f"workers = {workers}; allowed: 0 (threads of this process) or more processes")
    pipeline = grain.MapDataset.source(batches).to_iter_dataset(grain.ReadOptions(threads, max(threads, ahead)))
    if workers == 0:
        return pipeline
    if not flags.FLAGS.is_parsed():  # in a notebook or a script without absl; Grain's workers read flags of its own
        flags.FLAGS.mark_as_parsed()
    return pipeline.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(workers, max(1, ahead // workers)))


def to_devices(
    pipeline: "grain.IterDataset", sharding: jax.sharding.Sharding, batch_size: int, *, ahead: int = 2
) -> "grain.IterDataset":
    """Each batch as global arrays, their first axis laid out by ``sharding``, copied while the step before runs.

    ``sharding`` is that of a vector: ``NamedSharding(mesh, PartitionSpec("data"))``.
    """
    import grain

    try:
        sharding.shard_shape((batch_size,))
    except ValueError as error:
        raise ValueError(f"batch_size = {batch_size} cannot be divided over the devices: {error}") from error

    def put(array: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(sharding, array, (batch_size, *array.shape[1:]))

    def put_all(batch: Examples) -> dict[str, jax.Array]:
        return {name: put(array) for name, array in batch.items()}

    return grain.experimental.ThreadPrefetchIterDataset(pipeline.map(put_all), prefetch_buffer_size=ahead)


def seek(iterator: "grain.DatasetIterator", step: int) -> None:
    """Make ``batches[step]`` the next one."""
    import grain

    grain.experimental.set_next_index(iterator, step)
