"""The levels of a U-Net, and the image pyramids that may run beside them.

On the way down a pyramid is the input, smaller and smaller ("input_skip") or turned into features ("residual");
on the way up it is the output, larger and larger, or features. Each step takes (pyramid, h) and returns both.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from score_sde.networks.blocks import Attention, Combine, Head, Image, Pyramid, ResBlock, Seeds, residual_sum
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
    """image ← up(image) + head(h);  the lowest level begins with head(h)."""

    def __init__(self, head: Head, fir: Fir):
        self.head = head
        self.fir = fir

    def __call__(self, image: Pyramid | None, h: Image):
        own = self.head(h)
        return own if image is None else up(image, self.fir) + own, h


class OutputStart(nnx.Module):
    """pyramid ← head(h): where a residual output pyramid begins, at the lowest level."""

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
    """How a module is called: as it is, or keeping only its inputs for the backward pass."""

    def call(module: nnx.Module, *arguments):
        return module(*arguments)  # type: ignore[operator]

    return jax.checkpoint(call) if remat else call


class DownLevel(nnx.Module):
    """Residual blocks, attention after each of them if any, then half the resolution. Keeps every h for the way up."""

    def __init__(
        self,
        blocks: list[ResBlock],
        attentions: list[Attention],
        downsample: ResBlock | Downsample | None,
        pyramid: InputSkip | InputResidual | None,
        remat: bool,
    ):
        self.blocks = nnx.List(blocks)
        self.attentions = nnx.List(attentions)
        self.downsample = downsample
        self.pyramid = pyramid
        self.remat = remat

    def __call__(self, h: Image, image: Pyramid, embedding: Array | None, seeds: Seeds):
        call = remembering(self.remat)
        kept = []
        for i, block in enumerate(self.blocks):
            h = call(block, h, embedding, seeds)
            if self.attentions:
                h = call(self.attentions[i], h)
            kept.append(h)
        if self.downsample is not None:
            h = call(self.downsample, h, embedding, seeds)
            if self.pyramid is not None:
                image, h = self.pyramid(image, h)
            kept.append(h)
        return h, image, kept


class Middle(nnx.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, block_0: ResBlock, attention: Attention, block_1: ResBlock, remat: bool):
        self.block_0 = block_0
        self.attention = attention
        self.block_1 = block_1
        self.remat = remat

    def __call__(self, h: Image, embedding: Array | None, seeds: Seeds) -> Image:
        call = remembering(self.remat)
        h = call(self.attention, call(self.block_0, h, embedding, seeds))
        return call(self.block_1, h, embedding, seeds)


class UpLevel(nnx.Module):
    """Residual blocks on [h, kept], attention at the end if any, then twice the resolution."""

    def __init__(
        self,
        blocks: list[ResBlock],
        attention: Attention | None,
        pyramid: OutputSkip | OutputStart | OutputResidual | None,
        upsample: ResBlock | Upsample | None,
        remat: bool,
    ):
        self.blocks = nnx.List(blocks)
        self.attention = attention
        self.pyramid = pyramid
        self.upsample = upsample
        self.remat = remat

    def __call__(self, h: Image, kept: list[Array], image: Pyramid | None, embedding: Array | None, seeds: Seeds):
        call = remembering(self.remat)
        for block, other in zip(self.blocks, kept, strict=True):
            h = call(block, jnp.concatenate([h, other], axis=-1), embedding, seeds)
        if self.attention is not None:
            h = call(self.attention, h)
        if self.pyramid is not None:
            image, h = self.pyramid(image, h)
        if self.upsample is not None:
            h = call(self.upsample, h, embedding, seeds)
        return h, image
