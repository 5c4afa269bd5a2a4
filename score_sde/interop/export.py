"""Our models in the original's names, for use there."""

from pathlib import Path

import numpy as np

from score_sde.files import written_whole
from score_sde.interop.weights import correspondence
from score_sde.run import Run

FORMATS = (".npz", ".safetensors", ".pth")


def to_score_sde_pytorch(run: Run) -> dict[str, np.ndarray]:
    """The state dict that the original's network has, "module." included."""
    return {f"module.{pair.theirs}": pair.to_theirs() for pair in correspondence(run.network)}


def export(run: Run, path: str | Path) -> Path:
    """Write the state dict as .npz, .safetensors, or (with PyTorch, the extra "convert") .pth.

    A .pth holds {"model": state dict, "ema": {"shadow_params": the same, in its order}, "step": …}, which is what the
    original's restore function reads besides the optimizer's state.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"{path}: unknown format {path.suffix!r}; allowed: {', '.join(FORMATS)}")
    arrays = to_score_sde_pytorch(run)
    with written_whole(path) as part:
        if path.suffix == ".npz":
            with part.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        elif path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, part)
        else:
            _save_pth(arrays, run, part)
    return path


def _save_pth(arrays: dict[str, np.ndarray], run: Run, path: Path) -> None:
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            "writing a .pth file needs PyTorch: pip install 'score_sde[convert]'. Without it, .npz and .safetensors work"
        ) from error
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
    never = ("module.sigmas", "module.all_modules.0.W")
    shadow = [value for name, value in tensors.items() if name not in never]
    ema = {"decay": float(run.config.model.ema_rate), "num_updates": run.step or 0, "shadow_params": shadow}
    torch.save({"optimizer": {}, "model": tensors, "ema": ema, "step": run.step or 0}, path)
