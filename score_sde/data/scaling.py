"""The map between data and model space: levels, range and dequantisation.

Images have ``levels`` grey levels d = 0 ... L − 1. The model's range [low, high], [−1, 1] if centered and [0, 1] if
not, is divided into L equal cells of width (high − low)/L, one per level:

    uniform dequantisation    x = low + (high − low) (d + u)/L,   u ~ U(0, 1)      anywhere in the level's cell
    none                      x = low + (high − low) d/(L − 1)                     the ends of the range are levels
    back to images            d = floor(L (x − low)/(high − low)), clipped         the cell that x lies in

The second is the x/255 of Song et al. It also lies in the cell of its level, so both have the same inverse. The width
of a cell determines bits/dim (Theis et al. 2016, eq. 3-6): with D dimensions, P(d) the mass of the cell and
V = ``log_volume_per_dim`` = log((high − low)/L),

    log P(d) >= E_u[log p(x)] + D V,      bits/dim = −(log p(x)/D + V)/log 2       (V = −7 log 2 for 256 levels).

Continuous data (``levels=None``) are standardised, x = (y − mean)/std; then V = −log std and the bound is an equality
of densities.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num, Shaped

from score_sde.checks import require

Numbers = float | tuple[float, ...]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class DataScaling:
    """The map between data and model space; a static value that can be closed over or passed into jit.

    ``mean`` and ``std`` are only for continuous data: numbers, or one per entry of the last axis.
    """

    levels: int | None = 256
    centered: bool = True
    dequantize: bool = False
    mean: Numbers = 0.0
    std: Numbers = 1.0

    def __post_init__(self):
        for name in ("mean", "std"):
            value = np.asarray(getattr(self, name), np.float64)
            require(
                value.ndim <= 1 and bool(np.isfinite(value).all()), f"{name} = {value}: a number, or a list of them"
            )
            object.__setattr__(self, name, tuple(value.tolist()) if value.ndim else float(value))
        require(bool(np.all(np.asarray(self.std) > 0)), f"std = {self.std}; it must be positive")
        if self.levels is None:
            require(
                not self.dequantize,
                "dequantize = True, but the data are continuous (levels = None) and have no cells to fill; "
                "set dequantize = False",
            )
        else:
            require(2 <= self.levels <= 256, f"levels = {self.levels}; allowed: 2 to 256, or None if continuous")
            require(
                self.mean == 0.0 and self.std == 1.0,
                f"mean = {self.mean} and std = {self.std} are for continuous data; {self.levels} levels fill the "
                f"range {self.range}",
            )

    @classmethod
    def of(cls, source, *, centered: bool = True, dequantize: bool = False) -> "DataScaling":
        """The scaling of a source: the levels come from the source, the rest is a choice of the experiment."""
        return cls(levels=source.levels, centered=centered, dequantize=dequantize and source.levels is not None)

    @property
    def range(self) -> tuple[float, float]:
        """(low, high) of images in model space."""
        return (-1.0 if self.centered else 0.0), 1.0

    @property
    def cell(self) -> float:
        """The width of a level's cell in model space."""
        if self.levels is None:
            raise ValueError("continuous data (levels = None) have no cells")
        low, high = self.range
        return (high - low) / self.levels

    @property
    def log_volume_per_dim(self) -> float:
        """V, which added to log p(x)/D gives the log-probability of the data (per dimension, in nats)."""
        if self.levels is None:
            return -float(np.mean(np.log(self.std)))
        return math.log(self.cell)

    def forward(
        self, data: Num[Array | np.ndarray, "batch *shape"], keys: Key[Array, "batch"] | None = None
    ) -> Float[Array, "batch *shape"]:
        """Map data to model space. Dequantisation draws u of an example from its own key, ``keys[i]``."""
        if self.levels is None:
            require(
                data.dtype != jnp.uint8,
                "the data are bytes, but levels = None means continuous data; give DataScaling(levels=256)",
            )
            return (jnp.asarray(data, jnp.float32) - jnp.float32(self.mean)) / jnp.float32(self.std)
        if not self.dequantize:
            low, high = self.range
            return low + (high - low) * jnp.asarray(data, jnp.float32) / (self.levels - 1)
        if keys is None:
            raise ValueError("dequantize = True needs keys, one for each example: forward(data, keys)")
        return self.place(data, jax.vmap(lambda key: self._uniform(key, data.shape[1:]))(keys))

    def place(
        self, data: Num[Array | np.ndarray, "*shape"], u: Float[Array | np.ndarray, "*#shape"]
    ) -> Float[Array, "*shape"]:
        """low + (high − low) (d + u)/L: the point at u in the level's cell."""
        return self.range[0] + self.cell * (jnp.asarray(data, jnp.float32) + u)

    def inverse(self, x: Float[Array | np.ndarray, "*shape"]) -> Float[Array, "*shape"]:
        """Map model space to data units: y, or d + u, neither floored nor clipped."""
        if self.levels is None:
            return jnp.asarray(x) * jnp.float32(self.std) + jnp.float32(self.mean)
        return (jnp.asarray(x) - self.range[0]) / self.cell

    def to_images(self, x: Float[Array | np.ndarray, "*shape"]) -> Shaped[Array, "*shape"]:
        """Map model space to levels: floor and clip, NaN to level 0; continuous data to their own units."""
        if self.levels is None:
            return self.inverse(x)
        level = jnp.clip(jnp.nan_to_num(jnp.floor(self.inverse(x))), 0, self.levels - 1)
        return level.astype(jnp.uint8)

    def _uniform(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        """u on the midpoints of the finest grid that float32 resolves in d + u, and therefore also in x.

        A u closer to 0 or 1 would round into the next cell once in some hundred images, but floor must return d.
        """
        assert self.levels is not None
        digits = 22 - math.ceil(math.log2(self.levels))  # float32's 24 less the level's, one for the half, one spare
        steps = jax.random.bits(key, shape, jnp.uint32) >> (32 - digits)
        return (steps.astype(jnp.float32) + 0.5) / 2**digits
