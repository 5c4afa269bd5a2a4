"""The blocks of a RefineNet (Lin et al. 2017), as NCSN uses them: residual encoder, and refinement from low to high.

``norm``: the constructor of the normalisation before each convolution; None: without. ``labels``: the class of each
example, for norms that have parameters for each.
"""

import dataclasses
from typing import Any, Literal

from flax import nnx
from jaxtyping import Array, Float

from score_sde.networks.blocks import Activation, Image
from score_sde.networks.refine.layers import Conv, MeanPooled, Resize, resize
from score_sde.networks.refine.normalization import Labels, MakeNorm

POOL = (5, 5)
Pool = Literal["max", "mean"]


@dataclasses.dataclass(frozen=True)
class Style:
    """What all blocks share. ``norm`` of the encoder; ``refine_norm`` of the decoder; ``options`` of convolutions."""

    activation: Activation
    norm: MakeNorm
    refine_norm: MakeNorm | None
    pool: Pool
    resize: Resize
    options: dict[str, Any]


class ResidualBlock(nnx.Module):
    """x ─ norm ─ act ─ conv ─ norm ─ act ─ conv ─ + with the shortcut: x, or a convolution if the shape changes.

    ``halves``: the first block of a stage. It halves the resolution by a mean, or is dilated instead.
    """

    def __init__(self, before: int, after: int, style: Style, *, halves: bool = False, dilation: int = 1):
        widens = halves and dilation == 1
        dilated = {**style.options, "dilation": dilation}
        between = before if halves else after
        self.norm_0 = style.norm(before)
        self.conv_0 = Conv(before, between, **dilated)
        self.norm_1 = style.norm(between)
        pooled = MeanPooled if widens else Conv
        self.conv_1 = pooled(between, after, **dilated)
        shortcut: Conv | MeanPooled | None = None
        if widens:
            shortcut = MeanPooled(before, after, 1, **style.options)
        elif halves or before != after:
            shortcut = Conv(before, after, 1 if dilation == 1 else 3, **dilated)
        self.shortcut = shortcut
        self.activation = style.activation

    def __call__(self, x: Image, labels: Labels) -> Float[Array, "batch *out_spatial out_channels"]:
        h = self.conv_0(self.activation(self.norm_0(x, labels)))
        h = self.conv_1(self.activation(self.norm_1(h, labels)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Unit(nnx.Module):
    """[norm ─] act ─ convolution without bias."""

    def __init__(self, channels: int, style: Style):
        self.norm = None if style.refine_norm is None else style.refine_norm(channels)
        self.conv = Conv(channels, channels, bias=False, **style.options)
        self.activation = style.activation

    def __call__(self, x: Image, labels: Labels) -> Image:
        return self.conv(self.activation(x if self.norm is None else self.norm(x, labels)))


class ResidualUnits(nnx.Module):
    """Residual convolution units: ``blocks`` times x + unit(unit(x))."""

    def __init__(self, channels: int, blocks: int, style: Style):
        self.blocks = nnx.List(nnx.List(Unit(channels, style) for _ in range(2)) for _ in range(blocks))

    def __call__(self, x: Image, labels: Labels) -> Image:
        for units in self.blocks:
            h = x
            for unit in units:
                h = unit(h, labels)
            x = x + h
        return x


class Fusion(nnx.Module):
    """Multi-resolution fusion: Σ_i resize([norm ─] conv(x_i)), at the resolution of the first."""

    def __init__(self, channels: list[int], after: int, style: Style):
        norm = style.refine_norm
        self.norms = None if norm is None else nnx.List(norm(before) for before in channels)
        self.convs = nnx.List(Conv(before, after, **style.options) for before in channels)
        self.resize: Resize = style.resize

    def __call__(self, xs: list[Array], labels: Labels) -> Image:
        total: Any = 0.0
        for i, x in enumerate(xs):
            h = self.convs[i](x if self.norms is None else self.norms[i](x, labels))
            total = total + resize(h, xs[0].shape[1:-1], self.resize)
        return total


class ChainedPooling(nnx.Module):
    """act(x) + p_1 + p_2, where p_0 = act(x), p_i = conv(pool([norm ─] p_{i−1})), over 5 x 5 pixels."""

    def __init__(self, channels: int, style: Style):
        norm = style.refine_norm
        self.norms = None if norm is None else nnx.List(norm(channels) for _ in range(2))
        self.convs = nnx.List(Conv(channels, channels, bias=False, **style.options) for _ in range(2))
        self.activation = style.activation
        self.pool: Pool = style.pool

    def __call__(self, x: Image, labels: Labels) -> Image:
        pool = nnx.max_pool if self.pool == "max" else nnx.avg_pool  # the mean counts zeros beyond the border
        total = path = self.activation(x)
        for i, conv in enumerate(self.convs):
            path = conv(pool(path if self.norms is None else self.norms[i](path, labels), POOL, padding="SAME"))
            total = total + path
        return total


class RefineBlock(nnx.Module):
    """Features of the encoder and the coarser block's output, refined: units, fusion, chained pooling, units."""

    def __init__(self, channels: list[int], after: int, style: Style, *, last: bool = False):
        self.adapt = nnx.List(ResidualUnits(before, 2, style) for before in channels)
        self.fusion = Fusion(channels, after, style) if len(channels) > 1 else None
        self.pooling = ChainedPooling(after, style)
        self.out = ResidualUnits(after, 3 if last else 1, style)

    def __call__(self, xs: list[Array], labels: Labels) -> Image:
        hs = [units(x, labels) for units, x in zip(self.adapt, xs, strict=True)]
        h = hs[0] if self.fusion is None else self.fusion(hs, labels)
        return self.out(self.pooling(h, labels), labels)
