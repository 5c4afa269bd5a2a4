"""ADM: the U-Net of guided-diffusion, and of improved-diffusion with other options (Dhariwal & Nichol 2021, section 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.networks.adm.blocks import Block, HeadOrder, Level, Style, Upsample, attention, norm
from score_sde.networks.adm.encoder import Encoder, heads_of
from score_sde.networks.blocks import dropout_seeds
from score_sde.networks.checks import (
    as_dtype,
    check_input,
    check_no_label,
    check_numbers,
    check_options,
    labels_of,
    say_idle,
)
from score_sde.networks.conv import Conv
from score_sde.networks.embed import ClassEmbedding
from score_sde.networks.levels import remembering
from score_sde.networks.text import TEXT, Tokens


class ADM(nnx.Module):
    """The default options are ADM's; iDDPM's are scale_shift = True, resample_in_blocks = False and 4 heads.

    image_size, channels  the images; ``out_channels``: twice as many with a learned variance (see ``beside``)
    nf, ch_mult           the channels of the first level, and the factor of each level: multiples of 32
    attn_resolutions      the sizes in pixels of the levels with attention
    attention_heads       their number, or ``head_channels``, which comes first: the channels of each;
                          ``up_heads``: their number in the decoder, if another
    head_order            "heads_first", as in the published models, or "qkv_first" (see ``SelfAttention``)
    scale_shift           how the embedding enters (see ``Block``)
    resample_in_blocks    residual blocks change the resolution; otherwise layers do, with convolutions or without
    num_classes           class-conditional: ``condition={"label": y}``; ``no_class``: whether there is a row for no class,
                          which the published models do not have
    text_vocabulary       text-conditional (see ``NCSNpp``): cross-attention to ``text_length`` tokens of ``text_width``
    text_features         follows every attention, and their mean is added to the embedding
    remat                 recompute what is inside the blocks in the backward pass
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        nf: int = 256,
        ch_mult: Sequence[int] = (1, 1, 2, 2, 4, 4),
        num_res_blocks: int = 2,
        attn_resolutions: Sequence[int] = (32, 16, 8),
        attention_heads: int = 4,
        up_heads: int | None = None,
        head_channels: int | None = 64,
        head_order: HeadOrder = "heads_first",
        scale_shift: bool = True,
        resample_in_blocks: bool = True,
        resamp_with_conv: bool = True,
        dropout: int | float = 0.0,
        num_classes: int | None = None,
        no_class: bool = True,
        text_vocabulary: int | None = None,
        text_features: int | None = None,
        text_length: int = 0,
        text_width: int = 512,
        out_channels: int | None = None,
        dtype: Any = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        check_options(head_order=head_order)
        check_numbers(
            attention_heads=attention_heads,
            up_heads=up_heads,
            head_channels=head_channels,
            out_channels=out_channels,
            num_classes=num_classes,
        )
        say_idle(
            up_heads=(
                up_heads is not None and head_channels is not None,
                f"beside head_channels = {head_channels}, which comes first",
            ),
            resamp_with_conv=(not resamp_with_conv and resample_in_blocks, "with resample_in_blocks = True"),
            no_class=(not no_class and num_classes is None, "without classes"),
        )
        out_channels = channels if out_channels is None else out_channels
        told_a_text = text_vocabulary is not None or text_features is not None
        style = Style(
            told=4 * nf,
            scale_shift=scale_shift,
            resample_in_blocks=resample_in_blocks,
            resample_with_conv=resamp_with_conv,
            head_order=head_order,
            dropout=dropout,
            dtype=as_dtype(dtype),
            rngs=rngs,
            text_width=text_width if told_a_text else None,
        )
        self.encoder = Encoder(
            image_size,
            channels,
            style,
            heads_of(attention_heads, head_channels),
            nf=nf,
            ch_mult=ch_mult,
            num_res_blocks=num_res_blocks,
            attn_resolutions=attn_resolutions,
            head_channels=head_channels,
        )
        self.class_embedding = (
            None if num_classes is None else ClassEmbedding(num_classes, style.told, no_class=no_class, **style.options)
        )
        heads = heads_of(attention_heads if up_heads is None else up_heads, head_channels)
        self.up = _way_up(self.encoder, style, heads, [nf * factor for factor in ch_mult], num_res_blocks + 1)
        self.norm = norm(nf * ch_mult[0])
        self.conv_out = Conv(nf * ch_mult[0], out_channels, init_scale=0.0, **style.options)
        self.text = Tokens(
            vocabulary=text_vocabulary,
            features=text_features,
            length=text_length,
            width=text_width,
            out_features=style.told,
            **style.options,
        ) if told_a_text else None  # fmt: skip
        self.channels = channels
        self.remat = remat

    def __call__(
        self,
        x: Float[Array, "batch h w channels"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch h w out_channels"]:
        check_input(x, noise_level, self.channels, 2, len(self.up))
        seeds, call = dropout_seeds(dropout_keys), remembering(self.remat)
        embedding = self.encoder.embed(noise_level)
        if self.class_embedding is None:
            check_no_label(condition)
        else:
            labels = labels_of(condition, self.class_embedding.num_classes, x.shape[0])
            embedding = embedding + self.class_embedding(labels)
        context = None
        if self.text is not None:
            context, vector = self.text(self.text.of(condition, TEXT, x.shape[0]))
            embedding = embedding + vector
        h, kept = self.encoder(x, embedding, seeds, self.remat, context)
        for i, level in enumerate(self.up):
            with jax.named_scope(f"up.{i}"):
                for j in range(len(level.blocks)):
                    h = call(level.blocks[j], jnp.concatenate([h, kept.pop()], axis=-1), embedding, seeds)
                    h = call(level.attentions[j], h, context) if level.attentions else h
                if level.resample is not None:
                    h = call(level.resample, h, embedding, seeds)
        with jax.named_scope("head"):
            return self.conv_out(jax.nn.silu(self.norm(h))).astype(x.dtype)


def _way_up(encoder: Encoder, style: Style, heads: Any, widths: Sequence[int], blocks_a_level: int) -> nnx.List[Level]:
    """The levels of the decoder, from the lowest to the highest, with the encoder's skip features."""
    levels: nnx.List[Level] = nnx.List()
    rest, h = list(encoder.kept), encoder.kept[-1]
    for i in reversed(range(len(widths))):
        blocks, attentions = [], []
        for _ in range(blocks_a_level):
            blocks.append(Block(h + rest.pop(), widths[i], style))
            h = widths[i]
            attentions += [attention(h, heads(h), style)] if encoder.attended[i] else []
        higher: Any = None
        if i > 0:
            higher = Block(h, h, style, "up") if style.resample_in_blocks else Upsample(h, style)
        levels.append(Level(blocks, attentions, higher))
    return levels
