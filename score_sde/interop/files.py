"""What a file of weights of another code base is, and its weights by name. Nothing in it is executed."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from score_sde.formats import pth, safetensors
from score_sde.interop.score_sde.checkpoints import averaged

States = dict[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Foreign:
    """``states``: state dicts by the name of the weights, "ema" and "raw", or one of them."""

    kind: str
    states: States
    step: int

    def about(self) -> str:
        """The kind, and the size of the first state."""
        state = next(iter(self.states.values()))
        numbers, names = sum(int(np.size(value)) for value in state.values()), " and ".join(self.states)
        return f"{self.kind}: {len(state)} tensors of {numbers:,} numbers, weights {names}, step {self.step}"


def opened(path: str | Path) -> Foreign:
    """Read a .pth, .pt or .safetensors file; a ValueError that lists the known kinds if it is none of them."""
    path = Path(path)
    content = safetensors.read(path) if path.suffix == ".safetensors" else pth.read(path)
    for recognise in KINDS:
        found = recognise(content, path)
        if found is not None:
            return found
    keys = list(content)[:6] if isinstance(content, dict) else type(content).__name__
    raise ValueError(
        f"{path} holds {keys}, which is no file of a known kind: a checkpoint of score_sde_pytorch (optimizer, model, ema, "
        "step), one of NCSN's or NCSNv2's (a list), or a state dict of theirs, of guided-diffusion or of improved-diffusion"
    )


def _score_sde(content: Any, path: Path) -> Foreign | None:
    if not isinstance(content, dict) or not {"model", "ema", "step"} <= set(content):
        return None
    states: States = {"ema": averaged(content, path), "raw": content["model"]}
    return Foreign("a checkpoint of score_sde_pytorch", states, int(content["step"]))


def _ncsn(content: Any, path: Path) -> Foreign | None:
    """[state dict, optimizer, epoch, step, the averages if there are any]."""
    if not isinstance(content, list | tuple) or len(content) < 2 or not _begins(content[0], "begin_conv."):
        return None
    raw = _bare(content[0])
    averages = [part for part in content[2:] if isinstance(part, dict) and _begins(part, "begin_conv.")]
    states: States = {"ema": {**raw, **_bare(averages[0])}, "raw": raw} if averages else {"raw": raw}
    steps = [int(part) for part in content[2:] if isinstance(part, int)]
    return Foreign("a checkpoint of NCSN or NCSNv2", states, steps[-1] if steps else 0)


def _state_dict(content: Any, path: Path) -> Foreign | None:
    """Weights alone; guided-diffusion and improved-diffusion write the averages into files of their own."""
    name = _name_of(content)
    average = "raw" if path.name.startswith("model") and path.name[5:11].isdigit() else "ema"
    return None if name is None else Foreign(name, {average: _bare(content)}, _step_in(path.stem))


def _name_of(content: Any) -> str | None:
    if not isinstance(content, dict):
        return None
    if _begins(content, "time_embed."):
        net = "U-Net" if _begins(content, "output_blocks.") else "classifier"
        return f"a {net} of guided-diffusion or improved-diffusion"
    marks = {"begin_conv.": "a state dict of NCSN or NCSNv2", "all_modules.": "a state dict of score_sde_pytorch"}
    return next((name for mark, name in marks.items() if _begins(content, mark)), None)


def _bare(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("module."): value for name, value in state.items()}


def _begins(state: Any, mark: str) -> bool:
    """Whether some tensor's name begins so, with or without "module."."""
    return isinstance(state, dict) and any(str(name).removeprefix("module.").startswith(mark) for name in state)


def _step_in(stem: str) -> int:
    """The number at the end of a file's name, such as ema_0.9999_500000; 0 without one."""
    digits = stem[len(stem.rstrip("0123456789")) :]
    return int(digits) if digits else 0


KINDS: tuple[Callable[[Any, Path], Foreign | None], ...] = (_score_sde, _ncsn, _state_dict)
