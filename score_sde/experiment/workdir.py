"""The folder of a run:

config.json                  the config, with every default and the facts about the data
launches.jsonl               for each start: time, versions, devices, git commit
checkpoints/STEP/            states to resume from; the newest two are kept
snapshots/STEP/              only weights and averages, kept permanently
metrics.jsonl                one line per measurement: {"step": ..., "loss": ..., ...}
tensorboard/                 the same for TensorBoard
samples/STEP.png             samples drawn at snapshots
reports/                     loss curve, loss per noise level
eval/, or --eval_folder      results of --mode=eval and --mode=sample, one file per step
restore/, or --eval_folder   those of --mode=restore

The config may be replaced until the first checkpoint is written; after that, the workdir belongs to it.
"""

import json
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from score_sde import checkpoints
from score_sde.config import VERSION, ConfigError, checked, differences
from score_sde.files import written_whole

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "diffrax", "ml_collections", "numpy")
OURS = {
    "config.json",
    "launches.jsonl",
    "metrics.jsonl",
    "wandb_id",
    "tensorboard",
    "samples",
    "reports",
    "checkpoints",
    "snapshots",
}


def prepare(workdir: Path, config: ConfigDict, *, replace_config: bool = False) -> None:
    """Create the folder, or reuse it if it belongs to the same config; a ValueError if not."""
    workdir = Path(workdir)
    file = workdir / "config.json"
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"workdir = {workdir} is a file; give a folder")
    if file.exists() and checkpoints.steps(workdir):
        changed = differences(_written(workdir), config.to_dict())
        if changed and not replace_config:
            raise ValueError(
                f"{workdir} belongs to a run with another config:\n  " + "\n  ".join(changed) + "\nGive another "
                "--workdir, or --replace_config to go on there with the new config"
            )
    elif workdir.exists() and (strangers := sorted(path.name for path in workdir.iterdir() if path.name not in OURS)):
        raise ValueError(
            f"{workdir} is not empty and is no workdir (it holds {', '.join(strangers[:3])}); give another folder"
        )
    try:
        with written_whole(file) as part:
            part.write_text(json.dumps(config.to_dict(), indent=2, default=list) + "\n")
    except OSError as error:
        raise ValueError(
            f"cannot write to workdir = {workdir}: {error.strerror}; give a folder you can write to"
        ) from None


def read_config(workdir: Path) -> ConfigDict:
    """The config of a workdir; a ValueError if the folder is not a workdir or the config is invalid."""
    try:
        return ConfigDict(checked(_written(workdir)))
    except ConfigError as error:
        raise ValueError(f"{Path(workdir) / 'config.json'}: {error}") from error


def _written(workdir: Path) -> dict[str, Any]:
    """The content of config.json; a ValueError describes a folder without it."""
    file = Path(workdir) / "config.json"
    if not Path(workdir).is_dir():
        raise ValueError(f"there is no folder {workdir}")
    if not file.exists():
        found = ", ".join(sorted(path.name for path in Path(workdir).iterdir())[:5]) or "nothing"
        raise ValueError(f"{workdir} is no workdir: it has no config.json (it holds {found})")
    try:
        config = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    version = config.get("version") if isinstance(config, Mapping) else None
    if version != VERSION:
        raise ValueError(f"{file} has version {version}; this release reads version {VERSION}. Train it again")
    return _with_tuples(config)


def note_launch(workdir: Path, mode: str, step: int) -> None:
    """Add a line to launches.jsonl."""
    launch = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "mode": mode,
        "step": step,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "devices": [f"{d.platform}: {d.device_kind}" for d in jax.devices()],
        "hosts": jax.process_count(),
        "git": git_commit(),
    }
    with (Path(workdir) / "launches.jsonl").open("a") as file:
        file.write(json.dumps(launch) + "\n")


def git_commit() -> str | None:
    """The commit of the running code, with "+" if files differ from it; None outside a repository."""

    def git(*arguments: str) -> Any:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _with_tuples(value: Any) -> Any:
    """Replace JSON's lists by tuples, as in a checked config."""
    if isinstance(value, Mapping):
        return {name: _with_tuples(each) for name, each in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
