"""Files of LoRA, under the names of PEFT and of kohya's scripts.

    PEFT     base_model.model.MODULE.lora_A.weight (r, in, ...), lora_B.weight (out, r, ...); α in no tensor: it is r
    kohya    lora_unet_MODULE.lora_down.weight, lora_up.weight, alpha; MODULE with "_" for "."

MODULE is the path of a layer in the network here, such as down.0.attentions.0.query.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx

from score_sde.checks import require, some_of
from score_sde.formats import safetensors
from score_sde.networks.adapters import LoRA
from score_sde.networks.adapters.lora import kernels

Style = Literal["peft", "kohya"]
PEFT = re.compile(r"^base_model\.model\.(.+)\.lora_([AB])\.weight$")
KOHYA = re.compile(r"^lora_unet_(.+)\.(lora_down\.weight|lora_up\.weight|alpha)$")
KINDS = {"A": "down", "B": "up", "lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha"}


def write_lora(file: str | Path, lora: LoRA, style: Style = "peft") -> Path:
    """Write a LoRA as safetensors; PEFT's names have no place for α, which must be r there."""
    require(
        style == "kohya" or lora.alpha == lora.rank,
        f"alpha = {lora.alpha} with rank {lora.rank}: PEFT keeps it in another file; give style = 'kohya'",
    )
    tensors: dict[str, np.ndarray] = {}
    for name, down, up in zip(lora.names, lora.down, lora.up, strict=True):
        module, first, second = name.removesuffix(".kernel"), np.asarray(down[...]), np.asarray(up[...])
        spatial = tuple(range(first.ndim - 2))
        first = np.transpose(first, (first.ndim - 1, first.ndim - 2, *spatial))
        second = second.T.reshape(*second.T.shape, *(1,) * len(spatial))
        if style == "peft":
            tensors |= {f"base_model.model.{module}.lora_{x}.weight": a for x, a in (("A", first), ("B", second))}
        else:
            stem = f"lora_unet_{module.replace('.', '_')}"
            tensors |= {f"{stem}.lora_down.weight": first, f"{stem}.lora_up.weight": second}
            tensors[f"{stem}.alpha"] = np.asarray(lora.alpha, np.float32)
    safetensors.write(Path(file), tensors)
    return Path(file)


def read_lora(file: str | Path, base: Any) -> LoRA:
    """The LoRA of a file, for this network; a ValueError names what does not fit."""
    found, strange = _modules(safetensors.read(file))
    require(bool(found), f"{file} is no LoRA of PEFT or kohya: it has {some_of(strange, 4) or 'no tensors'}")
    shapes = {name: variable.shape for name, variable in kernels(base).items()}
    by_stem = {name.removesuffix(".kernel").replace(".", "_"): name for name in shapes}
    names = {module: by_stem.get(module.replace(".", "_")) for module in found}
    lost = [module for module, name in names.items() if name is None]
    require(not lost and not strange, f"{file} is a LoRA for another network; it has {some_of([*lost, *strange], 6)}")
    ranks = {parts["down"].shape[0] for parts in found.values()}
    require(len(ranks) == 1, f"{file} has layers of the ranks {sorted(ranks)}; allowed: one rank")
    rank = ranks.pop()
    alphas = {float(parts.get("alpha", rank)) for parts in found.values()}
    require(len(alphas) == 1, f"{file} has layers with alpha {sorted(alphas)}; allowed: one alpha")
    chosen = "|".join(re.escape(str(name)) for name in names.values())
    lora = LoRA(base, rank=rank, alpha=alphas.pop(), match=f"^({chosen})$", rngs=nnx.Rngs(0))
    by_name = {names[module]: parts for module, parts in found.items()}
    for name, down, up in zip(lora.names, lora.down, lora.up, strict=True):
        parts = by_name[name]
        first, second = parts["down"], parts["up"]
        first = np.transpose(first, (*range(2, first.ndim), 1, 0))
        second = second.reshape(second.shape[:2]).T
        require(
            first.shape == down.shape and second.shape == up.shape,
            f"{file} is a LoRA for another network: {name} is {shapes[name]}, its factors are {first.shape} and "
            f"{second.shape}",
        )
        down.set_value(jnp.asarray(first))
        up.set_value(jnp.asarray(second))
    return lora


def _modules(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    """(the tensors of each module, the names that are none of LoRA's)."""
    found: dict[str, dict[str, np.ndarray]] = {}
    strange = []
    for name, value in tensors.items():
        match = PEFT.match(name) or KOHYA.match(name)
        if match is None:
            strange.append(name)
        else:
            found.setdefault(match[1], {})[KINDS[match[2]]] = np.asarray(value, np.float32)
    return found, strange
