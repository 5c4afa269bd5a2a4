"""The weights of score_sde_pytorch's networks and ours: every parameter under both names, in both directions."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from score_sde.checks import some_of
from score_sde.interop.pairs import Pair, listed, misfits
from score_sde.interop.score_sde.refine_weights import of_refinenet
from score_sde.interop.score_sde.unet_weights import of_unet, without_effect
from score_sde.networks import DDPM, NCSNpp, RefineNet


class Family(NamedTuple):
    """The pairs of a network; how the names of one of its modules begin; which of their tensors have no effect."""

    pairs: Callable[[Any], list[Pair]]
    mark: str
    without_effect: Callable[[Any, str], bool]


UNETS = Family(of_unet, "all_modules.", without_effect)
FAMILIES: dict[type, Family] = {
    NCSNpp: UNETS,
    DDPM: UNETS,
    RefineNet: Family(of_refinenet, "begin_conv.", lambda network, name: False),
}


def correspondence(network: Any) -> list[Pair]:
    """Every parameter of the network with its name in the original, in the original's order."""
    return _family(network).pairs(network)


def load(network: Any, state_dict: Mapping[str, Any]) -> None:
    """Load the tensors of a state dict into the network; a ValueError, without any change, unless all of them fit."""
    tensors = {name.removeprefix("module."): value for name, value in state_dict.items()}
    family = _family(network)
    if not any(name.startswith(family.mark) for name in tensors):
        raise ValueError(_not_a_state_dict(family.mark, list(state_dict)))
    pairs = family.pairs(network)
    missing, left_over, misshapen = misfits(pairs, tensors)
    left_over = [name for name in left_over if not _without_effect(family, network, name)]
    if missing or left_over or misshapen:
        raise ValueError(_does_not_fit(missing, left_over, misshapen))
    for pair in pairs:
        pair.load(tensors[pair.theirs])


def _family(network: Any) -> Family:
    if type(network) not in FAMILIES:
        raise ValueError(f"{type(network).__name__} has no counterpart in score_sde_pytorch")
    return FAMILIES[type(network)]


def _without_effect(family: Family, network: Any, name: str) -> bool:
    """Whether they store a tensor of this name that the network does not use."""
    return network.sigmas is None if name == "sigmas" else family.without_effect(network, name)


# Errors about tensors that do not fit.


def _not_a_state_dict(mark: str, names: list[str]) -> str:
    whole = {"model", "ema", "optimizer"} & set(names)
    hint = (
        'this is a whole checkpoint; give its ["model"], or load the file with load_score_sde_pytorch'
        if whole
        else "is it a checkpoint of another code base?"
    )
    return (
        f'no key of the state dict begins with "{mark}" or "module.{mark}"; its keys are '
        f"{some_of([str(name) for name in names], 8) or 'none at all'}: {hint}"
    )


def _does_not_fit(missing: list[str], left_over: list[str], misshapen: list[str]) -> str:
    lines = ["the state dict is not of the network that config.network and config.example describe; nothing was loaded"]
    lines += listed(missing, left_over, misshapen)
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
