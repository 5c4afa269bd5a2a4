"""The Grain pipeline: threads or processes prefetch batches, and the state is a step. Imports Grain."""

from collections import deque
from typing import Any

import grain
import jax
import numpy as np
from absl import flags

from score_sde.data.batches import Batches
from score_sde.data.source import Examples

ON_THE_WAY = 2  # batches that are copied to the devices while the previous step runs


class BatchReader(grain.IterDataset):
    """Iterates over batches, as NumPy arrays or as global arrays on the devices."""

    def __init__(self, batches: Batches, sharding: jax.sharding.Sharding | None, workers: int, ahead: int):
        super().__init__()
        self.batches, self.sharding, self.workers, self.ahead = batches, sharding, workers, ahead

    def __iter__(self) -> "BatchIterator":
        return BatchIterator(self)

    def from_step(self, step: int) -> grain.DatasetIterator:
        """The batches from a step on, as NumPy arrays."""
        steps = grain.MapDataset.source(self.batches).slice(slice(step, None))
        threads = min(2, self.ahead)
        in_threads = steps.to_iter_dataset(grain.ReadOptions(threads, self.ahead))
        if self.workers == 0:
            return iter(in_threads)
        if not flags.FLAGS.is_parsed():  # in a notebook, or a script without absl: Grain's workers read its flags
            flags.FLAGS.mark_as_parsed()
        each = max(1, self.ahead // self.workers)
        return iter(in_threads.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(self.workers, each)))

    def put(self, batch: Examples) -> dict[str, Any]:
        """Make this host's rows part of global arrays whose first axis has the sharding."""
        sharding, size = self.sharding, self.batches.batch_size
        if sharding is None:
            return dict(batch)

        def place(array: np.ndarray) -> jax.Array:
            return jax.make_array_from_process_local_data(sharding, array, (size, *array.shape[1:]))

        return {name: place(array) for name, array in batch.items()}


class BatchIterator(grain.DatasetIterator):
    """An iterator whose only state is the next step.

    Grain's own iterator stores the state of each worker, which is useless for a different number of workers.
    """

    def __init__(self, reader: BatchReader):
        super().__init__()
        self._reader, self._step = reader, 0
        self._batches: grain.DatasetIterator | None = None
        self._on_the_way: deque[dict[str, Any]] = deque()

    def __next__(self) -> dict[str, Any]:
        if self._batches is None:
            self._batches = self._reader.from_step(self._step)
        while len(self._on_the_way) < (1 if self._reader.sharding is None else ON_THE_WAY):
            try:
                self._on_the_way.append(self._reader.put(next(self._batches)))
            except StopIteration:
                break
        if not self._on_the_way:
            raise StopIteration
        self._step += 1
        return self._on_the_way.popleft()

    def get_state(self) -> dict[str, int]:
        """The step of the next batch."""
        return {"step": self._step}

    def set_state(self, state: dict[str, int]) -> None:
        """Continue at another step."""
        self.close()
        self._step = int(state["step"])

    def close(self) -> None:
        """Stop the threads and processes; the next batch restarts them."""
        self._on_the_way.clear()
        if self._batches is not None:
            self._batches.close()
            self._batches = None
