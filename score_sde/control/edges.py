"""Canny's edges (1986): lines one pixel wide where the picture changes most.

1. The picture is smoothed by a Gaussian, and Sobel's filters give its gradient g.
2. A pixel stays if |g| is not smaller than at the two points ±g/max(|g_0|, |g_1|) beside it, between whose neighbours |g| is
   interpolated.
3. It is an edge if |g| is at least ``low``, and a path of such pixels joins it to one with at least ``high``.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from score_sde.checks import require
from score_sde.control.base import Control, grey


@dataclasses.dataclass(frozen=True)
class Edges(Control):
    """1 on edges, 0 elsewhere, (height, width, 1). ``std``: of the Gaussian, in pixels; the thresholds are for pictures from
    0 to 1.
    """

    std: float = 1.0
    low: float = 0.1
    high: float = 0.2

    def __post_init__(self):
        super().__post_init__()
        require(self.std > 0, f"std = {self.std}; allowed: above 0, in pixels")
        require(0 < self.low <= self.high, f"low = {self.low}, high = {self.high}; allowed: 0 < low <= high")

    @property
    def range(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def form(self) -> tuple[int, ...]:
        return (*self.shape[:2], 1)

    def of(self, key: Key[Array, ""], x: Float[Array, "h w c"]) -> Float[Array, "h w 1"]:
        return canny(grey(x), self.std, self.low, self.high)[..., None].astype(jnp.float32)


def canny(x: Float[Array, "h w"], std: float, low: float, high: float) -> Bool[Array, "h w"]:
    """Where the edges are. The outermost pixels have none."""
    g = [sobel(smoothed(x, std), axis) for axis in (0, 1)]
    size = jnp.hypot(*g)
    inside = jnp.zeros(x.shape, bool).at[1:-1, 1:-1].set(True)
    weak = inside & (size >= low) & _is_largest(g, size)
    strong = weak & (size >= high)
    return _joined(weak, strong)


def smoothed(x: Float[Array, "h w"], std: float) -> Float[Array, "h w"]:
    """The mean with weights exp(−r²/(2 std²)) over the pixels that there are."""
    smooth = [jnp.asarray(_averages(n, std), x.dtype) for n in x.shape]
    return jnp.einsum("ia,jb,ab->ij", *smooth, x, precision=jax.lax.Precision.HIGHEST)


def _averages(n: int, std: float) -> np.ndarray:
    distance = np.subtract.outer(np.arange(n), np.arange(n))
    weights = np.where(np.abs(distance) <= int(4 * std + 0.5), np.exp(-0.5 * (distance / std) ** 2), 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def sobel(x: Float[Array, "h w"], axis: int) -> Float[Array, "h w"]:
    """The derivative along an axis, times 8: (−1, 0, 1) along it, (1, 2, 1) across."""
    across = 1 - axis
    h = jnp.pad(x, 1, mode="symmetric")
    h = _shifted(h, 1, axis) - _shifted(h, -1, axis)
    h = _shifted(h, -1, across) + 2 * h + _shifted(h, 1, across)
    return h[1:-1, 1:-1]


def _shifted(x: Array, by: int, axis: int) -> Array:
    """x at the place ``by`` pixels further on."""
    return jnp.roll(x, -by, axis)


def _is_largest(g: list[Float[Array, "h w"]], size: Float[Array, "h w"]) -> Bool[Array, "h w"]:
    """Step 2: on the way to the next pixel along the larger component of g, w = |smaller|/|larger| leads across."""
    larger = jnp.maximum(jnp.abs(g[0]), jnp.abs(g[1]))
    w = jnp.minimum(jnp.abs(g[0]), jnp.abs(g[1])) / jnp.where(larger > 0, larger, 1)
    down = jnp.abs(g[0]) > jnp.abs(g[1])
    same = g[0] * g[1] >= 0  # both components have one sign: the diagonal neighbour is at (+1, +1)

    def beside(sign: int) -> Array:
        straight = jnp.where(down, _shifted(size, sign, 0), _shifted(size, sign, 1))
        along, against = (_shifted(_shifted(size, sign, 0), other, 1) for other in (sign, -sign))
        crossed = _shifted(_shifted(size, -sign, 0), sign, 1)
        diagonal = jnp.where(same, along, jnp.where(down, against, crossed))
        return (1 - w) * straight + w * diagonal

    return (beside(1) <= size) & (beside(-1) <= size)


def _joined(weak: Bool[Array, "h w"], strong: Bool[Array, "h w"]) -> Bool[Array, "h w"]:
    """The pixels of ``weak`` that a path of neighbours, diagonal ones too, joins to ``strong``."""

    def grown(state: tuple[Array, Array]) -> tuple[Array, Array]:
        found, _ = state
        near = jax.lax.reduce_window(found, False, jax.lax.bitwise_or, (3, 3), (1, 1), "SAME")
        return near & weak, found

    return jax.lax.while_loop(lambda state: jnp.any(state[0] != state[1]), grown, (strong, jnp.zeros_like(strong)))[0]


def edge_f1(found: Bool[np.ndarray, "n h w"], wanted: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n"]:
    """2 |A ∩ B|/(|A| + |B|) of each pair, without any tolerance; 1 where neither has an edge."""
    found, wanted = (np.asarray(edges, bool).reshape(len(edges), -1) for edges in (found, wanted))
    both, all_of_them = (found & wanted).sum(axis=1), found.sum(axis=1) + wanted.sum(axis=1)
    return np.where(all_of_them > 0, 2 * both / np.maximum(all_of_them, 1), 1.0)


def agrees(samples: np.ndarray, examples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For ``evaluation.Agreement`` and default options: F1 between the edges of each sample (bytes) and of its example."""
    found, wanted = (np.asarray(_of_all(jnp.asarray(x))) for x in (samples, examples["data"]))
    return {"all": edge_f1(found, wanted)}


@jax.jit
def _of_all(pictures: Array) -> Bool[Array, "n h w"]:
    control = Edges(pictures.shape[1:])
    return jax.vmap(lambda x: control(jax.random.key(0), x)[..., 0] > 0)(pictures)
