"""Batches for training and evaluation, prefetched by Grain and sharded over the devices.

A pipeline is a ``grain.IterDataset``. ``iter(pipeline)`` has ``get_state()`` and ``set_state(state)``, whose states
Orbax can store, and ``close()``, which ends its threads and processes. The state is just ``{"step": k}``, because a
batch is a function of its step; it can be restored with a different number of workers, hosts or devices.
"""

from collections.abc import Sequence
from typing import Any

import grain
import jax

from score_sde.checks import require
from score_sde.data.batches import Batches
from score_sde.data.reader import BatchReader


def training_batches(
    source: Any,
    batch_size: int,
    *,
    seed: int = 0,
    flip: bool | None = None,
    entries: Sequence[str] | None = None,
    spatial: Sequence[str] = (),
    sharding: jax.sharding.Sharding | None = None,
    workers: int = 0,
) -> grain.IterDataset:
    """Endless shuffled batches, this host's share of them; global arrays on the devices if a sharding is given.

    ``flip``: None flips at random if the source is ``flippable``. ``entries``: the entries of an example that the
    experiment needs besides "data"; None takes all. ``spatial``: the entries that are mirrored together with the data.
    """
    batches = Batches(
        source,
        batch_size,
        seed,
        flip=source.flippable if flip is None else flip,
        entries=entries,
        spatial=spatial,
        host=jax.process_index(),
        hosts=jax.process_count(),
    )
    return stream(batches, sharding=sharding, workers=workers)


def evaluation_batches(
    source: Any,
    batch_size: int,
    *,
    entries: Sequence[str] | None = None,
    sharding: jax.sharding.Sharding | None = None,
    workers: int = 0,
) -> grain.IterDataset:
    """The whole split once, in order, unflipped. The last batch is shorter; with a sharding or several hosts it is
    padded instead, and ``valid`` marks the examples.
    """
    hosts = jax.process_count()
    batches = Batches(
        source,
        batch_size,
        shuffle=False,
        entries=entries,
        epochs=1,
        pad=hosts > 1 or sharding is not None,
        host=jax.process_index(),
        hosts=hosts,
    )
    return stream(batches, sharding=sharding, workers=workers)


def stream(
    batches: Batches, *, sharding: jax.sharding.Sharding | None = None, workers: int = 0, ahead: int = 4
) -> grain.IterDataset:
    """The batches in order; ``ahead`` of them are prefetched, and with a sharding two are being copied to the devices.

    ``sharding`` is that of a vector over the batch: ``NamedSharding(mesh, PartitionSpec("data"))``.
    ``workers``: 0 reads in threads of this process, which suffices for arrays and for decoding images, which releases
    the GIL. Processes help if a source runs Python code; each receives the source, and a script that uses them needs
    ``if __name__ == "__main__":``.
    """
    require(workers >= 0, f"workers = {workers}; allowed: 0 (threads of this process) or more processes")
    if sharding is not None:
        try:
            sharding.shard_shape((batches.batch_size,))
        except ValueError as error:
            raise ValueError(
                f"batch_size = {batches.batch_size} cannot be divided over {sharding.num_devices} devices: {error}"
            ) from error
    return BatchReader(batches, sharding, workers, ahead)
