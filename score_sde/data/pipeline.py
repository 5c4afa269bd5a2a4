"""Batches for training and for evaluation, read ahead by Grain and laid out over the devices.

A pipeline is a ``grain.IterDataset``. ``iter(pipeline)`` has ``get_state()`` and ``set_state(state)``, which Orbax
stores as they are, and ``close()``, which ends its threads and processes. The state is ``{"step": k}`` and no more, as
a batch is a function of its step: it may be made up, and restored with other workers, hosts or devices than before.
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
    """Shuffled batches without end, this host's share of them; global arrays on the devices if a sharding is given.

    ``flip``: None flips a source of which a mirrored example is as good as the example itself. ``entries``: what the
    experiment needs of an example besides "data"; None takes what there is. ``spatial``: those of them that are
    mirrored together with the data.
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
    filled up instead, and ``valid`` tells the examples from the filling.
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
    """The batches in order, ``ahead`` of them read before they are asked for, and two already on their way to the
    devices.

    ``sharding`` is that of a vector over the batch: ``NamedSharding(mesh, PartitionSpec("data"))``.
    ``workers``: 0 reads in threads of this process, which suffices for arrays, and for decoding images, during which
    Python's lock is free. Processes pay where a source works in Python; each is sent the source, and a script that uses
    them needs ``if __name__ == "__main__":``.
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
