"""The names of the U-Nets' parameters in score_sde_pytorch.

Their networks are flat lists, ``all_modules.{i}``, in the order in which the modules were constructed; ours are trees,
which ``of_unet`` traverses in their order.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

from score_sde.interop.pairs import Pair, conv, dense, norm, pair, under
from score_sde.networks.blocks import Attention, ResBlock
from score_sde.networks.conv import Conv
from score_sde.networks.cross_attention import SelfThenCross
from score_sde.networks.embed import Dense
from score_sde.networks.levels import InputResidual, InputSkip, OutputResidual, OutputSkip, OutputStart
from score_sde.networks.ncsnpp import NCSNpp
from score_sde.networks.resample import Downsample, Upsample


def of_unet(network: NCSNpp) -> list[Pair]:
    """Every parameter of the network with its name in the original, in the original's order."""
    if network.class_embedding is not None:
        raise ValueError("a network with classes (num_classes) has no counterpart in score_sde_pytorch")
    modules = enumerate(_in_their_order(network))
    pairs = [one for i, module in modules for one in under(f"all_modules.{i}", module)]
    return pairs if network.sigmas is None else [pair(network.sigmas, "sigmas"), *pairs]


def _in_their_order(network: NCSNpp) -> Iterator[list[Pair]]:
    """The parameters of each of their modules, in the order of construction."""
    told = network.noise_embedding
    if told is not None:
        if told.frequencies is not None:
            yield [pair(told.frequencies, "W")]
        yield dense(told.dense_0)
        yield dense(told.dense_1)
    elif network.embedding_type == "fourier":
        yield []  # they construct the Fourier layer even if the noise level is not used
    res_block = {"biggan": _biggan_block, "ddpm": _ddpm_block}[network.resblock_type]
    resampling: Callable[[Any], list[Pair]] = res_block if network.resblock_type == "biggan" else _resampling
    yield conv(network.conv_in)
    for down in network.down:
        for i, block in enumerate(down.blocks):
            yield res_block(block)
            if down.attentions:
                yield _attention(down.attentions[i])
        if down.downsample is not None:
            yield resampling(down.downsample)
        if down.pyramid is not None:
            yield _input_pyramid(down.pyramid)
    yield res_block(network.middle.block_0)
    yield _attention(network.middle.attention)
    yield res_block(network.middle.block_1)
    for up in network.up:
        yield from map(res_block, up.blocks)
        if up.attention is not None:
            yield _attention(up.attention)
        if up.pyramid is not None:
            yield from _output_pyramid(up.pyramid)
        if up.upsample is not None:
            yield resampling(up.upsample)
    if network.head is not None:
        yield norm(network.head.norm)
        yield conv(network.head.conv)


# One function for each kind of module: its parameters under the original's names.


def _nin(layer: Dense | Conv) -> list[Pair]:
    """kernel (in, out), or that of a 1x1 convolution, <-> W (in, out)."""
    whole, bias = pair(layer.kernel, "W"), layer.bias
    return [dataclasses.replace(whole, shape=whole.shape[-2:]), *([] if bias is None else [pair(bias, "b")])]


def _block(block: ResBlock) -> list[Pair]:
    return [
        *under("GroupNorm_0", norm(block.norm_0)),
        *under("Conv_0", conv(block.conv_0)),
        *([] if block.dense is None else under("Dense_0", dense(block.dense))),
        *under("GroupNorm_1", norm(block.norm_1)),
        *under("Conv_1", conv(block.conv_1)),
    ]


def _biggan_block(block: ResBlock) -> list[Pair]:
    return _block(block) + ([] if block.shortcut is None else under("Conv_2", conv(block.shortcut)))


def _ddpm_block(block: ResBlock) -> list[Pair]:
    return _block(block) + ([] if block.shortcut is None else under("NIN_0", _nin(block.shortcut)))


def _attention(attention: Attention | SelfThenCross) -> list[Pair]:
    if isinstance(attention, SelfThenCross):
        raise ValueError("a network that is told a text has no counterpart in score_sde_pytorch")
    layers = (attention.query, attention.key, attention.value, attention.out)
    nins = [one for i, layer in enumerate(layers) for one in under(f"NIN_{i}", _nin(layer))]
    return under("GroupNorm_0", norm(attention.norm)) + nins


def _resampling(layer: Downsample | Upsample) -> list[Pair]:
    if layer.conv is None:
        return []
    return under("Conv_0" if layer.fir is None else "Conv2d_0", conv(layer.conv))


def _input_pyramid(step: InputSkip | InputResidual) -> list[Pair]:
    return under("Conv_0", conv(step.combine.conv)) if hasattr(step, "combine") else _resampling(step.downsample)


def _output_pyramid(step: OutputSkip | OutputStart | OutputResidual) -> list[list[Pair]]:
    return [norm(step.head.norm), conv(step.head.conv)] if hasattr(step, "head") else [_resampling(step.upsample)]


_UNUSED = re.compile(r"all_modules\.(0\.W|\d+\.Dense_0\.(weight|bias))")


def without_effect(network: NCSNpp, name: str) -> bool:
    """Whether the original stores this tensor although the output of this network does not depend on it."""
    return network.noise_embedding is None and _UNUSED.fullmatch(name) is not None
