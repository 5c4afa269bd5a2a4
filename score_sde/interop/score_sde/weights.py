"""The correspondence between the weights of score_sde_pytorch and ours.

Their networks are flat lists, ``all_modules.{i}``, in the order in which the modules were constructed; ours are
trees. ``correspondence`` traverses our tree in their order and pairs every parameter with its name there; the pairs
work in both directions.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from score_sde.checks import some_of
from score_sde.networks.blocks import Attention, GroupNorm, ResBlock
from score_sde.networks.conv import Conv
from score_sde.networks.embed import Dense
from score_sde.networks.levels import InputResidual, InputSkip, OutputResidual, OutputSkip, OutputStart
from score_sde.networks.ncsnpp import NCSNpp
from score_sde.networks.resample import Downsample, Upsample


@dataclasses.dataclass(frozen=True)
class Pair:
    """One parameter under both names: their tensor is ours with permuted axes, without axes that they do not have."""

    variable: nnx.Variable
    theirs: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]  # of theirs

    def to_theirs(self) -> np.ndarray:
        """Our value as their tensor."""
        return np.transpose(np.asarray(self.variable[...]), self.axes).reshape(self.shape)

    def to_ours(self, tensor: Any) -> Any:
        """Their tensor as our value."""
        theirs = np.asarray(tensor).reshape([self.variable.shape[axis] for axis in self.axes])
        return jnp.asarray(np.transpose(theirs, np.argsort(self.axes)), self.variable.dtype)


def correspondence(network: NCSNpp) -> list[Pair]:
    """Every parameter of the network with its name in the original, in the original's order."""
    if network.class_embedding is not None:
        raise ValueError("a network with classes (num_classes) has no counterpart in score_sde_pytorch")
    modules = enumerate(_in_their_order(network))
    pairs = [
        dataclasses.replace(pair, theirs=f"all_modules.{i}.{pair.theirs}") for i, module in modules for pair in module
    ]
    return pairs if network.sigmas is None else [_pair(network.sigmas, "sigmas"), *pairs]


def load(network: NCSNpp, state_dict: Mapping[str, Any]) -> None:
    """Load the tensors of a state dict into the network; a ValueError, without any change, unless all of them fit."""
    tensors = {name.removeprefix("module."): value for name, value in state_dict.items()}
    if not any(name.startswith("all_modules.") for name in tensors):
        raise ValueError(_not_a_state_dict(list(state_dict)))
    pairs = correspondence(network)
    expected = {pair.theirs: pair for pair in pairs}
    missing = [name for name in expected if name not in tensors]
    left_over = [name for name in tensors if name not in expected and not _without_effect(network, name)]
    misshapen = [
        f"{name} {tuple(np.shape(tensors[name]))} instead of {pair.shape}"
        for name, pair in expected.items()
        if name in tensors and tuple(np.shape(tensors[name])) != pair.shape
    ]
    if missing or left_over or misshapen:
        raise ValueError(_does_not_fit(missing, left_over, misshapen))
    values = [pair.to_ours(tensors[pair.theirs]) for pair in pairs]
    for pair, value in zip(pairs, values, strict=True):
        pair.variable.set_value(value)


def _in_their_order(network: NCSNpp) -> Iterator[list[Pair]]:
    """The parameters of each of their modules, in the order of construction."""
    told = network.noise_embedding
    if told is not None:
        if told.frequencies is not None:
            yield [_pair(told.frequencies, "W")]
        yield _dense(told.dense_0)
        yield _dense(told.dense_1)
    elif network.embedding_type == "fourier":
        yield []  # they construct the Fourier layer even if the noise level is not used
    res_block = {"biggan": _biggan_block, "ddpm": _ddpm_block}[network.resblock_type]
    resampling: Callable[[Any], list[Pair]] = res_block if network.resblock_type == "biggan" else _resampling
    yield _conv(network.conv_in)
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
        yield _norm(network.head.norm)
        yield _conv(network.head.conv)


# One function for each kind of module: its parameters under the original's names.


def _pair(variable: nnx.Variable, name: str, axes: tuple[int, ...] | None = None) -> Pair:
    axes = tuple(range(variable.ndim)) if axes is None else axes
    return Pair(variable, name, axes, tuple(variable.shape[axis] for axis in axes))


def _under(prefix: str, *parts: list[Pair]) -> list[Pair]:
    return [dataclasses.replace(pair, theirs=f"{prefix}.{pair.theirs}") for part in parts for pair in part]


def _conv(conv: Conv) -> list[Pair]:
    """kernel (*size, in, out) <-> weight (out, in, *size)."""
    dims = conv.kernel.ndim - 2
    return [_pair(conv.kernel, "weight", (dims + 1, dims, *range(dims))), _pair(conv.bias, "bias")]


def _dense(dense: Dense) -> list[Pair]:
    """kernel (in, out) <-> weight (out, in)."""
    return [_pair(dense.kernel, "weight", (1, 0)), _pair(dense.bias, "bias")]


def _nin(layer: Dense | Conv) -> list[Pair]:
    """kernel (in, out), or that of a 1x1 convolution, <-> W (in, out)."""
    whole = _pair(layer.kernel, "W")
    return [dataclasses.replace(whole, shape=whole.shape[-2:]), _pair(layer.bias, "b")]


def _norm(norm: GroupNorm) -> list[Pair]:
    return [_pair(norm.scale, "weight"), _pair(norm.bias, "bias")]


def _block(block: ResBlock) -> list[Pair]:
    return [
        *_under("GroupNorm_0", _norm(block.norm_0)),
        *_under("Conv_0", _conv(block.conv_0)),
        *([] if block.dense is None else _under("Dense_0", _dense(block.dense))),
        *_under("GroupNorm_1", _norm(block.norm_1)),
        *_under("Conv_1", _conv(block.conv_1)),
    ]


def _biggan_block(block: ResBlock) -> list[Pair]:
    return _block(block) + ([] if block.shortcut is None else _under("Conv_2", _conv(block.shortcut)))


def _ddpm_block(block: ResBlock) -> list[Pair]:
    return _block(block) + ([] if block.shortcut is None else _under("NIN_0", _nin(block.shortcut)))


def _attention(attention: Attention) -> list[Pair]:
    layers = (attention.query, attention.key, attention.value, attention.out)
    nins = [pair for i, layer in enumerate(layers) for pair in _under(f"NIN_{i}", _nin(layer))]
    return _under("GroupNorm_0", _norm(attention.norm)) + nins


def _resampling(layer: Downsample | Upsample) -> list[Pair]:
    if layer.conv is None:
        return []
    return _under("Conv_0" if layer.fir is None else "Conv2d_0", _conv(layer.conv))


def _input_pyramid(step: InputSkip | InputResidual) -> list[Pair]:
    return _under("Conv_0", _conv(step.combine.conv)) if hasattr(step, "combine") else _resampling(step.downsample)


def _output_pyramid(step: OutputSkip | OutputStart | OutputResidual) -> list[list[Pair]]:
    return [_norm(step.head.norm), _conv(step.head.conv)] if hasattr(step, "head") else [_resampling(step.upsample)]


# Errors about tensors that do not fit.

_UNUSED = re.compile(r"all_modules\.(0\.W|\d+\.Dense_0\.(weight|bias))")


def _without_effect(network: NCSNpp, name: str) -> bool:
    """Whether the original stores this tensor although the output of this network does not depend on it."""
    if name == "sigmas":
        return network.sigmas is None
    return network.noise_embedding is None and _UNUSED.fullmatch(name) is not None


def _not_a_state_dict(names: list[str]) -> str:
    whole = {"model", "ema", "optimizer"} & set(names)
    hint = (
        'this is a whole checkpoint; give its ["model"], or load the file with load_score_sde_pytorch'
        if whole
        else "is it a checkpoint of another code base?"
    )
    return (
        'no key of the state dict begins with "all_modules." or "module.all_modules."; its keys are '
        f"{some_of([str(name) for name in names], 8) or 'none at all'}: {hint}"
    )


def _does_not_fit(missing: list[str], left_over: list[str], misshapen: list[str]) -> str:
    lines = ["the state dict is not of the network that config.network and config.example describe; nothing was loaded"]
    lines += [
        f"  {len(names)} {what}: {some_of(names, 8)}"
        for what, names in (("missing", missing), ("left over", left_over), ("of another shape", misshapen))
        if names
    ]
    if any(name.startswith("sigmas ") for name in misshapen):
        lines.append("  likely cause: config.sde.num_scales is not what the model was trained with")
    elif not missing and not left_over:
        lines.append("  likely cause: config.network.nf or ch_mult, config.example.shape, or a transposed tensor")
    elif not left_over:
        lines.append("  likely cause: an incomplete state dict, or a deeper network in the config (num_res_blocks)")
    else:
        lines.append(
            "  likely cause: config.network.name, num_res_blocks, ch_mult, attn_resolutions, embedding_type, "
            "resblock_type, fir, progressive or progressive_input differs from the training's; is it the config of "
            "this checkpoint?"
        )
    return "\n".join(lines)
