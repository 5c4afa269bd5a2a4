"""Saving samples as a file and an image."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Key

from score_sde import plots
from score_sde.evaluation.evaluator import Batch, State, Subject
from score_sde.files import written_whole


@dataclasses.dataclass(frozen=True)
class SaveSamples:
    """All samples in ``file`` (.npz), the first hundred as an image next to it (.png).

    Samples are collected on disk, in a temporary file, and never all in memory.
    """

    file: Path
    of: Literal["examples", "samples"] = "samples"
    first: int | None = None

    def begin(self, n: int) -> State:
        return {"n": np.array(n)}

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> Mapping[str, Array]:
        return {name: value for name, value in batch.items() if name != "index"}

    def add(self, state: State, rows: slice, values: Mapping[str, np.ndarray]) -> State:
        n = int(state["n"])
        for name, value in values.items():
            if name == "data":
                if jax.process_index() == 0:
                    data = self._begun((n, *value.shape[1:]), value.dtype) if rows.start == 0 else self._on_disk()
                    data[rows] = value
                continue
            if name not in state:
                state[name] = np.zeros((n, *value.shape[1:]), value.dtype)
            state[name][rows] = value
        return state

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        if (
            self._growing.exists() or not self.file.exists()
        ):  # else it was killed just after the last line of this block
            data, own = self._on_disk(), {"n", "nfe", "failed_at"}
            picture = self.file.with_suffix(".png")
            plots.save_samples(picture, data[:100], subject.scaling.levels, columns=10)
            with written_whole(self.file) as part, part.open("wb") as stream:
                entries = {name: value for name, value in state.items() if name not in own}
                np.savez(stream, data=data, **entries)  # type: ignore[arg-type]
            self._growing.unlink()
        return {
            "samples": int(state["n"]),
            "failed": np.flatnonzero(state["failed_at"] >= 0).tolist(),
            "evaluations": float(state["nfe"].mean()),
            "file": self.file.name,
        }

    @property
    def _growing(self) -> Path:
        return self.file.with_name(f".{self.file.stem}.npy")

    def _begun(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Create the temporary file for the samples. Only the first host writes it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        return np.lib.format.open_memmap(self._growing, mode="w+", dtype=dtype, shape=shape)

    def _on_disk(self) -> np.ndarray:
        """The samples drawn so far."""
        if not self._growing.exists():
            raise ValueError(
                f"the samples drawn so far are gone ({self._growing} is missing); to draw them anew remove "
                f"{self.file.stem}*.npz and .json beside it"
            )
        return np.lib.format.open_memmap(self._growing, mode="r+")
