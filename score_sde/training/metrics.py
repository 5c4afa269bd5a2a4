"""Writing metrics to metrics.jsonl and optionally to TensorBoard and W&B."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from score_sde.files import written_whole


class Metrics:
    """The writers of a workdir. On resume, lines after the resume step are dropped."""

    def __init__(self, workdir: Path, step: int, config: Any, *, tensorboard: bool = True, wandb: str | None = None):
        self.file = workdir / "metrics.jsonl"
        if self.file.exists():
            kept = [line for line in self.file.read_text().splitlines(True) if _step(line) <= step]
            with written_whole(self.file) as part:
                part.write_text("".join(kept))
        self._writer: Any = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)
        self._wandb: Any = None
        if wandb is not None:
            try:
                import wandb as weights_and_biases
            except ImportError as error:
                raise ValueError(
                    f"config.logging.wandb = {wandb!r} needs Weights & Biases: pip install wandb"
                ) from error
            self._wandb = weights_and_biases.init(
                project=wandb,
                name=workdir.resolve().name,
                id=_identity(workdir),
                resume="allow",
                dir=str(workdir),
                config=config.to_dict(),
            )
            self._image = weights_and_biases.Image

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write metrics."""
        line = {"step": step} | {name: float(f"{value:.8g}") for name, value in values.items()}
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(dict(values), step=step)

    def image(self, step: int, name: str, picture: Any) -> None:
        """Write an image (height, width, 3) of bytes."""
        if self._writer is not None:
            self._writer.add_image(name, picture, step, dataformats="HWC")
        if self._wandb is not None:
            self._wandb.log({name: self._image(picture)}, step=step)

    def close(self) -> None:
        """Flush and close the writers."""
        if self._writer is not None:
            self._writer.close()
        if self._wandb is not None:
            self._wandb.finish()


def _identity(workdir: Path) -> str:
    """The W&B run id, stored in the workdir so that it stays the same after a restart."""
    file = workdir / "wandb_id"
    if not file.exists():
        with written_whole(file) as part:
            part.write_text(secrets.token_hex(6))
    return file.read_text()


def read(workdir: Path) -> list[dict[str, float]]:
    """The metrics of a run, without an incomplete last line."""
    file = Path(workdir) / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if _step(line) < float("inf")]


def _step(line: str) -> float:
    """The step of a line of metrics.jsonl; infinite if the line is incomplete."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")
