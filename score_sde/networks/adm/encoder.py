"""The encoder and the middle of ADM's networks, which the U-Net and the classifier share."""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from score_sde.networks.adm.blocks import GROUPS, Block, Downsample, Level, Style, TimeEmbedding, attention
from score_sde.networks.blocks import Image, Seeds
from score_sde.networks.checks import check_each, check_levels, check_numbers
from score_sde.networks.conv import Conv
from score_sde.networks.cross_attention import Context
from score_sde.networks.levels import remembering


class Encoder(nnx.Module):
    """Levels of blocks from the highest resolution to the lowest, and three blocks at the lowest.

    ``heads(channels)``: the number of attention heads.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int,
        style: Style,
        heads: Any,
        *,
        nf: int,
        ch_mult: Sequence[int],
        num_res_blocks: int,
        attn_resolutions: Sequence[int],
        head_channels: int | None = None,
    ):
        check_numbers(nf=nf, channels=channels, num_res_blocks=num_res_blocks, dropout=style.dropout)
        check_each("ch_mult", ch_mult)
        widths = [nf * factor for factor in ch_mult]
        odd = [width for width in (nf, *widths) if width % GROUPS]
        if odd:
            raise ValueError(
                f"nf = {nf} with ch_mult = {tuple(ch_mult)} has a level of {odd[0]} channels; ADM normalises over "
                f"{GROUPS} groups, so each level needs a multiple of {GROUPS}"
            )
        resolutions = check_levels(image_size, 2, len(ch_mult), attn_resolutions)
        check_heads(widths, resolutions, attn_resolutions, head_channels)
        self.attended = tuple(resolution in attn_resolutions for resolution in resolutions)
        self.time_embedding = TimeEmbedding(nf, style.told, **style.options)
        self.conv_in = Conv(channels, nf, **style.options)
        self.levels: nnx.List[Level] = nnx.List()
        kept, h = [nf], nf
        for i, width in enumerate(widths):
            blocks, attentions = [], []
            for _ in range(num_res_blocks):
                blocks.append(Block(h, width, style))
                h = width
                attentions += [attention(h, heads(h), style)] if self.attended[i] else []
                kept.append(h)
            lower: Any = None
            if i < len(widths) - 1:
                lower = Block(h, h, style, "down") if style.resample_in_blocks else Downsample(h, style)
                kept.append(h)
            self.levels.append(Level(blocks, attentions, lower))
        self.middle_0, self.middle_attention, self.middle_1 = (
            Block(h, h, style),
            attention(h, heads(h), style),
            Block(h, h, style),
        )
        self.kept = tuple(kept)
        self.dtype = style.dtype

    def __call__(
        self,
        x: Image,
        embedding: Float[Array, "batch features"],
        seeds: Seeds,
        remat: bool = False,
        context: Context | None = None,
    ) -> tuple[Array, list[Array]]:
        """(features at the lowest resolution, the skip features from first to last)."""
        call = remembering(remat)
        with jax.named_scope("conv_in"):
            h = self.conv_in(x.astype(self.dtype))
        kept = [h]
        for i, level in enumerate(self.levels):
            with jax.named_scope(f"down.{i}"):
                for j in range(len(level.blocks)):
                    h = call(level.blocks[j], h, embedding, seeds)
                    h = call(level.attentions[j], h, context) if level.attentions else h
                    kept.append(h)
                if level.resample is not None:
                    h = call(level.resample, h, embedding, seeds)
                    kept.append(h)
        with jax.named_scope("middle"):
            h = call(self.middle_0, h, embedding, seeds)
            h = call(self.middle_attention, h, context)
            return call(self.middle_1, h, embedding, seeds), kept

    def embed(self, noise_level: Float[Array, "batch"]) -> Float[Array, "batch features"]:
        """The embedding of the time, at least from float32."""
        return self.time_embedding(noise_level.astype(jnp.promote_types(noise_level.dtype, jnp.float32)))


def check_heads(
    widths: Sequence[int], resolutions: Sequence[int], attended: Sequence[int], head_channels: int | None
) -> None:
    """Warn of levels too narrow for one head: there guided-diffusion's attention has none, and adds nothing but a bias."""
    levels = zip(widths, resolutions, strict=True)
    narrow = [(width, size) for width, size in levels if size in attended or size == resolutions[-1]]
    for width, size in narrow:
        if head_channels is not None and width < head_channels:
            warnings.warn(
                f"attention at {size} pixels has {width} channels, fewer than head_channels = {head_channels}: it gets one "
                f"head of {width}. The original would have no head there, which silently drops the attention",
                stacklevel=4,
            )


def heads_of(attention_heads: int, head_channels: int | None) -> Any:
    """The number of heads for a number of channels: fixed, or of fixed size."""
    return lambda channels: attention_heads if head_channels is None else max(1, channels // head_channels)
