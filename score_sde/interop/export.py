"""Exporting our models under the names of the code base that they come from."""

from pathlib import Path

import numpy as np

from score_sde.experiment import Run
from score_sde.files import written_whole
from score_sde.formats import pth_writer, safetensors
from score_sde.interop.models import is_of_guided_diffusion, pairs_of

FORMATS = (".npz", ".safetensors", ".pth")


def to_score_sde_pytorch(run: Run) -> dict[str, np.ndarray]:
    """The state dict of the original's network, including the prefix "module."."""
    return {f"module.{pair.theirs}": pair.to_theirs() for pair in pairs_of(run.network)}


def state_dict_of(run: Run) -> dict[str, np.ndarray]:
    """The weights under the names of guided-diffusion for its networks, else under score_sde_pytorch's."""
    if is_of_guided_diffusion(run.network):
        return {one.theirs: one.to_theirs() for one in pairs_of(run.network)}
    return to_score_sde_pytorch(run)


def export(run: Run, path: str | Path) -> Path:
    """Write the state dict as .npz, .safetensors or .pth. PyTorch is not needed.

    A .pth of a network of guided-diffusion is the state dict itself, as theirs are. Another contains {"model": state dict,
    "ema": {"shadow_params": the same, in its order}, "step": …}, as read by the original's restore function, and an empty
    optimizer state.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"{path}: unknown format {path.suffix!r}; allowed: {', '.join(FORMATS)}")
    arrays = state_dict_of(run)
    if path.suffix == ".pth":
        return pth_writer.write(path, arrays if is_of_guided_diffusion(run.network) else _checkpoint(run, arrays))
    if path.suffix == ".safetensors":
        return safetensors.write(path, arrays)
    with written_whole(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return path


def _checkpoint(run: Run, arrays: dict[str, np.ndarray]) -> dict:
    """A checkpoint of the original's form, with an empty optimizer state."""
    never = ("module.sigmas", "module.all_modules.0.W")  # not in the list of averages
    shadow = [value for name, value in arrays.items() if name not in never]
    ema = {"decay": float(run.config.averages.ema.rate), "num_updates": run.step or 0, "shadow_params": shadow}
    return {"optimizer": {}, "model": arrays, "ema": ema, "step": run.step or 0}
