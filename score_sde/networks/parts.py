"""Constructors of the parts of a U-Net with common options, for ``NCSNpp`` and ``Classifier``."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from flax import nnx

from score_sde.networks.blocks import Activation, Attention, Combine, Head, ResBlock
from score_sde.networks.conv import Conv
from score_sde.networks.cross_attention import CrossAttention, SelfThenCross
from score_sde.networks.levels import (
    DownLevel,
    InputResidual,
    InputSkip,
    Middle,
    OutputResidual,
    OutputSkip,
    OutputStart,
    UpLevel,
)
from score_sde.networks.resample import Downsample, Fir, Upsample


@dataclasses.dataclass
class Parts:
    """The options are those of ``NCSNpp``. ``told``: the features of the embedding, None without one.

    The parts draw their initial parameters from ``rngs`` in the order of construction, which determines all values.
    """

    channels: int
    activation: Activation
    told: int | None
    spatial_dims: int
    dtype: Any
    rngs: nnx.Rngs
    out_channels: int = 0
    fir: Fir = None
    resblock_type: str = "biggan"
    resamp_with_conv: bool = True
    progressive: str = "none"
    progressive_input: str = "none"
    progressive_combine: str = "sum"
    skip_rescale: bool = True
    init_scale: int | float = 0.0
    dropout: int | float = 0.0
    attention_heads: int = 1
    attention_implementation: Literal["xla", "cudnn"] | None = None
    norm_groups: int | None = None
    text_width: int | None = None
    remat: bool = False
    layer: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    """The number of each residual block, on which its dropout mask depends."""
    cross: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    """The number of each cross-attention."""

    @property
    def layout(self) -> dict[str, Any]:
        """The arguments common to all layers."""
        return {"dtype": self.dtype, "rngs": self.rngs}

    @property
    def spatial(self) -> dict[str, Any]:
        """The arguments common to all convolutions."""
        return {"spatial_dims": self.spatial_dims, **self.layout}

    def conv_in(self, features: int) -> Conv:
        """The input convolution."""
        return Conv(self.channels, features, **self.spatial)

    def res_block(self, before: int, after: int, resample: Literal["up", "down"] | None = None) -> ResBlock:
        """From ``before`` to ``after`` channels."""
        return ResBlock(
            before,
            after,
            self.told,
            activation=self.activation,
            resample=resample,
            fir=self.fir,
            shortcut_init_scale=1.0 if self.resblock_type == "biggan" else 0.1,
            init_scale=self.init_scale,
            skip_rescale=self.skip_rescale,
            dropout_rate=self.dropout,
            layer=next(self.layer),
            groups=self.norm_groups,
            **self.spatial,
        )

    def attention(self, channels: int) -> Attention | SelfThenCross:
        """Global attention, then to the tokens of a text if there is one."""
        options: dict[str, Any] = {
            "heads": self.attention_heads,
            "init_scale": self.init_scale,
            "skip_rescale": self.skip_rescale,
            "groups": self.norm_groups,
            **self.layout,
        }
        attention = Attention(channels, implementation=self.attention_implementation, **options)
        if self.text_width is None:
            return attention
        return SelfThenCross(attention, CrossAttention(channels, self.text_width, next(self.cross), **options))

    def head(self, before: int, after: int, init_scale: int | float | None = None) -> Head:
        """The output head."""
        scale = self.init_scale if init_scale is None else init_scale
        return Head(
            before, after, activation=self.activation, groups=self.norm_groups, init_scale=scale, **self.spatial
        )

    def middle(self, h: int) -> Middle:
        """The middle blocks."""
        return Middle(self.res_block(h, h), self.attention(h), self.res_block(h, h), self.remat)

    def way_down(
        self, nf: int, ch_mult: Sequence[int], num_res_blocks: int, attended: Sequence[bool]
    ) -> tuple[Sequence[DownLevel], list[int]]:
        """The levels of the encoder, and the channels of the skip features; the last are those of its output."""
        levels: nnx.List[DownLevel] = nnx.List()
        h, pyramid, kept = nf, self.channels, [nf]
        for i, multiplier in enumerate(ch_mult):
            blocks, attentions = [], []
            for _ in range(num_res_blocks):
                blocks.append(self.res_block(h, nf * multiplier))
                h = nf * multiplier
                if attended[i]:
                    attentions.append(self.attention(h))
                kept.append(h)
            lower, step = None, None
            if i < len(ch_mult) - 1:
                lower = self._lower(h)
                step, pyramid, h = self._input_step(pyramid, h)
                kept.append(h)
            levels.append(DownLevel(blocks, attentions, lower, step, self.remat))
        return levels, kept

    def way_up(
        self, nf: int, ch_mult: Sequence[int], num_res_blocks: int, attended: Sequence[bool], kept: Sequence[int]
    ) -> tuple[Sequence[UpLevel], int]:
        """The levels of the decoder, from the lowest to the highest, with skip features; the channels of its output."""
        levels: nnx.List[UpLevel] = nnx.List()
        rest, h, pyramid = list(kept), kept[-1], 0
        for i in reversed(range(len(ch_mult))):
            blocks = []
            for _ in range(num_res_blocks + 1):
                blocks.append(self.res_block(h + rest.pop(), nf * ch_mult[i]))
                h = nf * ch_mult[i]
            step = self._output_step(i == len(ch_mult) - 1, pyramid, h)
            pyramid = h
            higher = self._higher(h) if i > 0 else None
            levels.append(UpLevel(blocks, self.attention(h) if attended[i] else None, step, higher, self.remat))
        return levels, h

    def _lower(self, h: int) -> ResBlock | Downsample:
        """A downsampling layer."""
        if self.resblock_type == "biggan":
            return self.res_block(h, h, "down")
        return Downsample(h, h, fir=self.fir, with_conv=self.resamp_with_conv, **self.spatial)

    def _higher(self, h: int) -> ResBlock | Upsample:
        """An upsampling layer."""
        if self.resblock_type == "biggan":
            return self.res_block(h, h, "up")
        return Upsample(h, h, fir=self.fir, with_conv=self.resamp_with_conv, **self.spatial)

    def _input_step(self, pyramid: int, h: int) -> tuple[InputSkip | InputResidual | None, int, int]:
        """The input pyramid's step, and the channels of pyramid and features after it."""
        if self.progressive_input == "input_skip":
            combine = Combine(self.channels, h, method=self.progressive_combine, **self.spatial)
            return InputSkip(combine, self.fir), pyramid, 2 * h if self.progressive_combine == "cat" else h
        if self.progressive_input == "residual":
            return InputResidual(Downsample(pyramid, h, fir=self.fir, **self.spatial), self.skip_rescale), h, h
        return None, pyramid, h

    def _output_step(self, lowest: bool, pyramid: int, h: int) -> OutputSkip | OutputStart | OutputResidual | None:
        """The output pyramid's step; ``pyramid``: the channels of a residual pyramid."""
        if self.progressive == "output_skip":
            return OutputSkip(self.head(h, self.out_channels), self.fir)
        if self.progressive == "residual" and lowest:
            return OutputStart(self.head(h, h, 1.0))
        if self.progressive == "residual":
            return OutputResidual(Upsample(pyramid, h, fir=self.fir, **self.spatial), self.skip_rescale)
        return None
