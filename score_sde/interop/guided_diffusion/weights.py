"""The weights of guided-diffusion's and improved-diffusion's networks and ours: every parameter under both names."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from score_sde.interop.pairs import Pair, Stacked, conv, dense, listed, misfits, norm, pair, under
from score_sde.networks.adapters import Concatenation
from score_sde.networks.adm import ADM, ADMClassifier
from score_sde.networks.adm.blocks import Block, SelfAttention
from score_sde.networks.adm.encoder import Encoder
from score_sde.networks.cross_attention import SelfThenCross
from score_sde.networks.pool import AttentionPool

Network: TypeAlias = ADM | ADMClassifier | Concatenation


def correspondence(network: Network) -> list[Pair | Stacked]:
    """Every parameter with its name there, in their order."""
    return NETWORKS[type(network)](network)


def load(network: Network, state_dict: Mapping[str, Any]) -> None:
    """Load the tensors of a state dict; a ValueError, without any change, unless all of them fit."""
    pairs = correspondence(network)
    misfit = misfits(pairs, state_dict)
    if any(misfit):
        lines = ["the state dict is not of this network; nothing was loaded", *listed(*misfit)]
        lines.append(
            "  likely cause: another nf, ch_mult, num_res_blocks, attn_resolutions, num_classes or out_channels"
        )
        raise ValueError("\n".join(lines))
    for one in pairs:
        one.load(state_dict[one.theirs])


def _unet(network: ADM) -> list[Any]:
    table = network.class_embedding
    start, *encoder = _encoder(network.encoder)
    blocks = ((i, module) for i, module in enumerate(_decoder(network)))
    return [
        *start,
        *([] if table is None else [pair(table.table, "label_emb.weight")]),
        *(one for part in encoder for one in part),
        *(one for i, module in blocks for one in under(f"output_blocks.{i}", module)),
        *under("out.0", norm(network.norm)),
        *under("out.2", conv(network.conv_out)),
    ]


def _classifier(network: ADMClassifier) -> list[Any]:
    parts = [one for part in _encoder(network.encoder) for one in part]
    parts += under("out.0", norm(network.norm))
    if network.pool is None:
        return parts + under("out.3", _pointwise(network.logits, 2))
    return parts + under("out.2", _pool(network.pool), under("c_proj", _pointwise(network.logits, 1)))


def _encoder(encoder: Encoder) -> Iterator[list[Any]]:
    told = encoder.time_embedding
    yield under("time_embed", under("0", dense(told.dense_0)), under("2", dense(told.dense_1)))
    yield [one for i, module in enumerate(_inputs(encoder)) for one in under(f"input_blocks.{i}", module)]
    middle = (_block(encoder.middle_0), _attention(encoder.middle_attention), _block(encoder.middle_1))
    yield [one for i, module in enumerate(middle) for one in under(f"middle_block.{i}", module)]


def _inputs(encoder: Encoder) -> Iterator[list[Any]]:
    """The pairs of each of their input blocks."""
    yield under("0", conv(encoder.conv_in))
    for level in encoder.levels:
        for j, block in enumerate(level.blocks):
            yield under("0", _block(block)) + (under("1", _attention(level.attentions[j])) if level.attentions else [])
        if level.resample is not None:
            yield under("0", _resampling(level.resample, "op"))


def _decoder(network: ADM) -> Iterator[list[Any]]:
    """The pairs of each of their output blocks; a level's last changes the resolution."""
    for level in network.up:
        for j, block in enumerate(level.blocks):
            parts = [_block(block), *([_attention(level.attentions[j])] if level.attentions else [])]
            if level.resample is not None and j == len(level.blocks) - 1:
                parts.append(_resampling(level.resample, "conv"))
            yield [one for k, part in enumerate(parts) for one in under(str(k), part)]


def _block(block: Block) -> list[Any]:
    shortcut = [] if block.shortcut is None else under("skip_connection", conv(block.shortcut))
    return [
        *under("in_layers", under("0", norm(block.norm_0)), under("2", conv(block.conv_0))),
        *under("emb_layers.1", dense(block.dense)),
        *under("out_layers", under("0", norm(block.norm_1)), under("3", conv(block.conv_1))),
        *shortcut,
    ]


def _resampling(layer: Any, name: str) -> list[Any]:
    """A block, a convolution, or nothing."""
    if hasattr(layer, "conv_0"):
        return _block(layer)
    return [] if layer.conv is None else under(name, conv(layer.conv))


def _attention(attention: SelfAttention | SelfThenCross) -> list[Any]:
    if isinstance(attention, SelfThenCross):
        raise ValueError("the original's networks are told no text, so this one's weights have no names there")
    return [
        *under("norm", norm(attention.norm)),
        *under("qkv", _pointwise(attention.qkv, 1)),
        *under("proj_out", _pointwise(attention.out, 1)),
    ]


def _pointwise(layer: Any, dims: int) -> list[Pair]:
    """kernel (in, out) <-> the weight of a convolution of one pixel, (out, in, 1 ...)."""
    inputs, outputs = layer.kernel.shape
    return [Pair(layer.kernel, "weight", (1, 0), (outputs, inputs, *(1,) * dims)), pair(layer.bias, "bias")]


def _pool(pool: AttentionPool) -> list[Any]:
    """Their projection is query, key and value in turn; their positions have the channels first."""
    three = [_pointwise(layer, 1) for layer in (pool.query, pool.key, pool.value)]
    return [
        pair(pool.positions, "positional_embedding", (1, 0)),
        *under("qkv_proj", [Stacked(tuple(parts), parts[0].theirs) for parts in zip(*three, strict=True)]),
    ]


def _told_an_image(network: Concatenation) -> list[Any]:
    """Theirs, the upsampler of a low resolution, is the network inside, with more input channels."""
    return correspondence(network.network)


NETWORKS: dict[type, Callable[[Any], list[Any]]] = {
    ADM: _unet,
    ADMClassifier: _classifier,
    Concatenation: _told_an_image,
}
