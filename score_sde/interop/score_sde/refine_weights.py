"""The names of NCSN's and NCSNv2's parameters in score_sde_pytorch, which took them from the papers' own codes."""

from typing import Any

from score_sde.interop.pairs import Pair, conv, pair, under
from score_sde.networks.refine import RefineNet
from score_sde.networks.refine.blocks import ChainedPooling, Fusion, RefineBlock, ResidualBlock, ResidualUnits

NUMBERS = {4: ("1", "2", "3", "4"), 5: ("1", "2", "3", "4", "5"), 6: ("1", "2", "3", "31", "4", "5")}
"""Of the stages, by how many there are."""
REFINEMENTS = NUMBERS | {6: ("1", "2", "31", "3", "4", "5")}
"""Of the refinements, in the order of their use; the order of construction is that of ``NUMBERS``."""


def of_refinenet(network: RefineNet) -> list[Pair]:
    """Every parameter with its name, in their order."""
    numbers = NUMBERS[len(network.stages)]
    stages = zip(numbers, network.stages, strict=True)
    refinements = dict(zip(REFINEMENTS[len(numbers)], network.refine, strict=True))
    pairs = [
        *under("begin_conv", conv(network.conv_in)),
        *under("normalizer", _norm(network.norm)),
        *under("end_conv", conv(network.conv_out)),
        *(
            one
            for i, stage in stages
            for j, block in enumerate(stage)
            for one in under(f"res{i}.{j}", _residual(block))
        ),
        *(one for i in numbers for one in under(f"refine{i}", _refine(refinements[i]))),
    ]
    return pairs if network.sigmas is None or network.labelled else [pair(network.sigmas, "sigmas"), *pairs]


def _norm(norm: Any) -> list[Pair]:
    """alpha, gamma, beta; or all three of each class as one row, in the order gamma, alpha, beta."""
    if norm.classes is not None:
        classes, three, channels = norm.embedding.shape
        return [Pair(norm.embedding, "embed.weight", (0, 1, 2), (classes, three * channels))]
    names = {"alpha": "mean_scale", "gamma": "scale", "beta": "bias"}
    return [pair(getattr(norm, ours), theirs) for theirs, ours in names.items() if hasattr(norm, ours)]


def _layer(layer: Any) -> list[Pair]:
    """A convolution, maybe with pooling."""
    return under("conv", conv(layer.conv)) if hasattr(layer, "conv") else conv(layer)


def _residual(block: ResidualBlock) -> list[Pair]:
    return [
        *under("conv1", _layer(block.conv_0)),
        *under("normalize2", _norm(block.norm_1)),
        *under("conv2", _layer(block.conv_1)),
        *([] if block.shortcut is None else under("shortcut", _layer(block.shortcut))),
        *under("normalize1", _norm(block.norm_0)),
    ]


def _units(units: ResidualUnits) -> list[Pair]:
    found = []
    for i, block in enumerate(units.blocks):
        for j, unit in enumerate(block):
            name = f"{i + 1}_{j + 1}"
            found += [] if unit.norm is None else under(f"{name}_norm", _norm(unit.norm))
            found += under(f"{name}_conv", conv(unit.conv))
    return found


def _convs_and_norms(part: Fusion | ChainedPooling) -> list[Pair]:
    convs = [one for i, layer in enumerate(part.convs) for one in under(f"convs.{i}", conv(layer))]
    return convs + [one for i, norm in enumerate(part.norms or ()) for one in under(f"norms.{i}", _norm(norm))]


def _refine(block: RefineBlock) -> list[Pair]:
    return [
        *(one for i, units in enumerate(block.adapt) for one in under(f"adapt_convs.{i}", _units(units))),
        *under("output_convs", _units(block.out)),
        *([] if block.fusion is None else under("msf", _convs_and_norms(block.fusion))),
        *under("crp", _convs_and_norms(block.pooling)),
    ]
