"""The levels of a U-Net, and optional image pyramids parallel to them.

In the encoder the pyramid is the input, downsampled at each level ("input_skip") or converted to features
("residual"); in the decoder it is the output, upsampled, or features. Each step maps (pyramid, h) to new values.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from score_sde.networks.blocks import Attention, Combine, Head, Image, Pyramid, ResBlock, Seeds, residual_sum
from score_sde.networks.cross_attention import Context, SelfThenCross
from score_sde.networks.resample import Downsample, Fir, Upsample, down, up


class InputSkip(nnx.Module):
    """image ← down(image);  h ← combine(image, h)."""

    def __init__(self, combine: Combine, fir: Fir):
        self.combine = combine
        self.fir = fir

    def __call__(self, image: Pyramid, h: Image):
        image = down(image, self.fir)
        return image, self.combine(image, h)


class InputResidual(nnx.Module):
    """pyramid ← h ← conv(down(pyramid)) + h [/√2]."""

    def __init__(self, downsample: Downsample, rescale: bool):
        self.downsample = downsample
        self.rescale = rescale

    def __call__(self, pyramid: Pyramid, h: Image):
        h = residual_sum(self.downsample(pyramid), h, self.rescale)
        return h, h


class OutputSkip(nnx.Module):
    """image ← up(image) + head(h);  the lowest level starts with head(h)."""

    def __init__(self, head: Head, fir: Fir):
        self.head = head
        self.fir = fir

    def __call__(self, image: Pyramid | None, h: Image):
        own = self.head(h)
        return own if image is None else up(image, self.fir) + own, h


class OutputStart(nnx.Module):
    """pyramid ← head(h): the start of a residual output pyramid at the lowest level."""

    def __init__(self, head: Head):
        self.head = head

    def __call__(self, pyramid: Pyramid | None, h: Image):
        return self.head(h), h


class OutputResidual(nnx.Module):
    """pyramid ← h ← conv(up(pyramid)) + h [/√2]."""

    def __init__(self, upsample: Upsample, rescale: bool):
        self.upsample = upsample
        self.rescale = rescale

    def __call__(self, pyramid: Any, h: Image):
        h = residual_sum(self.upsample(pyramid), h, self.rescale)
        return h, h


def remembering(remat: bool) -> Callable[..., Any]:
    """How to call a module: directly, or storing only its inputs for the backward pass."""

    def call(module: nnx.Module, *arguments):
        return module(*arguments)  # type: ignore[operator]

    return jax.checkpoint(call) if remat else call


class DownLevel(nnx.Module):
    """Residual blocks, optionally with attention after each, then downsampling. Returns every h for the decoder."""

    def __init__(
        self,
        blocks: list[ResBlock],
        attentions: list[Attention | SelfThenCross],
        downsample: ResBlock | Downsample | None,
        pyramid: InputSkip | InputResidual | None,
        remat: bool,
    ):
        self.blocks = nnx.List(blocks)
        self.attentions = nnx.List(attentions)
        self.downsample = downsample
        self.pyramid = pyramid
        self.remat = remat

    def __call__(self, h: Image, image: Pyramid, embedding: Array | None, seeds: Seeds, context: Context | None = None):
        call = remembering(self.remat)
        kept = []
        for i, block in enumerate(self.blocks):
            h = call(block, h, embedding, seeds)
            if self.attentions:
                h = call(self.attentions[i], h, context)
            kept.append(h)
        if self.downsample is not None:
            h = call(self.downsample, h, embedding, seeds)
            if self.pyramid is not None:
                image, h = self.pyramid(image, h)
            kept.append(h)
        return h, image, kept


class Middle(nnx.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, block_0: ResBlock, attention: Attention | SelfThenCross, block_1: ResBlock, remat: bool):
        self.block_0 = block_0
        self.attention = attention
        self.block_1 = block_1
        self.remat = remat

    def __call__(self, h: Image, embedding: Array | None, seeds: Seeds, context: Context | None = None) -> Image:
        call = remembering(self.remat)
        h = call(self.attention, call(self.block_0, h, embedding, seeds), context)
        return call(self.block_1, h, embedding, seeds)


class UpLevel(nnx.Module):
    """Residual blocks on [h, kept], optionally attention at the end, then upsampling."""

    def __init__(
        self,
        blocks: list[ResBlock],
        attention: Attention | SelfThenCross | None,
        pyramid: OutputSkip | OutputStart | OutputResidual | None,
        upsample: ResBlock | Upsample | None,
        remat: bool,
    ):
        self.blocks = nnx.List(blocks)
        self.attention = attention
        self.pyramid = pyramid
        self.upsample = upsample
        self.remat = remat

    def __call__(
        self,
        h: Image,
        kept: list[Array],
        image: Pyramid | None,
        embedding: Array | None,
        seeds: Seeds,
        context: Context | None = None,
    ):
        call = remembering(self.remat)
        for block, other in zip(self.blocks, kept, strict=True):
            h = call(block, jnp.concatenate([h, other], axis=-1), embedding, seeds)
        if self.attention is not None:
            h = call(self.attention, h, context)
        if self.pyramid is not None:
            image, h = self.pyramid(image, h)
        if self.upsample is not None:
            h = call(self.upsample, h, embedding, seeds)
        return h, image
