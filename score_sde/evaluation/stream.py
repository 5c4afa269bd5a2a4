"""The input of a pass: examples of a source, or samples of a model, batch by batch on all devices."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from score_sde import devices
from score_sde.checkpoints import hash_of
from score_sde.conditions import Condition
from score_sde.data.batches import take
from score_sde.data.scaling import DataScaling
from score_sde.evaluation.evaluator import Batch
from score_sde.flow_map import Drawable
from score_sde.samplers.generate import generate


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """``n`` examples in order. ``begin(first)`` iterates from index ``first`` over (batch, the number of valid rows).

    All batches have the same size, so measurements are compiled once; the last is padded. ``about``: the settings that
    the examples depend on. ``what``: the name of what is compiled before the first batch.
    """

    n: int
    begin: Callable[[int], Iterator[tuple[Batch, int]]]
    about: dict[str, Any]
    what: str = "the examples"


def examples(source: Any, batch_size: int = 64) -> Stream:
    """The examples of a source as they are stored, with ``index``."""
    if len(source) == 0:
        raise ValueError(f"{source.name} has no examples")
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}; it must be at least 1")
    n, mesh = len(source), devices.mesh()
    size = devices.round_up(min(batch_size, n), mesh)

    def begin(first: int) -> Iterator[tuple[Batch, int]]:
        for start in range(first, n, size):
            index = np.minimum(np.arange(start, start + size), n - 1)
            batch = dict(take(source, index)) | {"index": index.astype(np.int32)}
            yield devices.put(jax.tree.map(np.asarray, batch), devices.divided(mesh)), min(size, n - start)

    return Stream(n, begin, {"source": source.name, "examples": n, "shape": list(source.shape)})


def samples(
    model: Drawable,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    scaling: DataScaling,
    *,
    condition: Condition = None,
    batch_size: int = 64,
    **options: Any,
) -> Stream:
    """Samples in the form of the data, with ``index``, ``nfe``, ``failed_at`` and the leaves of their condition.

    ``options``: those of ``ss.samplers.generate``.
    """
    mesh = devices.mesh()

    def begin(first: int) -> Iterator[tuple[Batch, int]]:
        drawn = generate(
            model, key, n, shape, condition=condition, batch_size=batch_size, start=first, progress=False, **options
        )
        size = 0
        for out in drawn:
            count = len(out.index)
            size = size or devices.round_up(count, mesh)
            told = jax.tree.map(lambda leaf: np.asarray(leaf)[first : first + count], condition or {})  # noqa: B023
            batch = {"data": scaling.to_images(out.x), "index": out.index, "nfe": out.nfe, "failed_at": out.failed_at}
            whole = jax.tree.map(np.asarray, devices.gathered({**batch, **told}))
            filled = jax.tree.map(lambda value: np.resize(value, (size, *value.shape[1:])), whole)  # noqa: B023
            yield devices.put(filled, devices.divided(mesh)), count
            first += count

    return Stream(n, begin, {"samples": n, "shape": list(shape), "condition": _told(condition)}, "the sampler")


def _told(condition: Condition) -> Any:
    """Labels and numbers themselves, the hash of what is larger."""
    if condition is None:
        return None
    arrays = {name: np.asarray(leaf) for name, leaf in condition.items()}
    return {name: leaf.tolist() if leaf.ndim == 1 else hash_of({name: leaf}) for name, leaf in arrays.items()}
