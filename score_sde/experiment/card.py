"""The card of a model: what it was trained on, how, by whom, and what was measured with exactly these weights."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from score_sde.checks import require
from score_sde.files import written_whole


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measured number, its uncertainty in words, the command that gives it, and the device it was measured on."""

    value: float
    uncertainty: str
    command: str
    device: str


@dataclasses.dataclass(frozen=True)
class Card:
    """What a reader must know before using a model. ``str(card)`` is Markdown.

    ``hash`` is that of the shipped weights; ``about`` says what the model is, ``data`` and ``licence`` what it learned from.
    ``command``, ``seed``, ``commit``, ``date``, ``hours`` and ``machine``: how it was trained.
    """

    title: str
    about: str
    data: str
    licence: str
    command: str
    seed: int
    commit: str
    date: str
    hours: float
    machine: str
    step: int
    weights: str
    parameters: int
    hash: str
    figures: Mapping[str, Figure] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        facts = {
            "data": f"{self.data} ({self.licence})",
            "trained by": f"`{self.command}`",
            "seed, step, weights": f"{self.seed}, {self.step:,}, {self.weights}",
            "time": f"{self.hours:.2g} hours, {self.machine}, {self.date}, commit {self.commit[:8]}",
            "parameters": f"{self.parameters:,}, hash {self.hash}",
        }
        lines = [f"# {self.title}", "", self.about, "", "| | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in facts.items()]
        if self.figures:
            lines += ["", "| figure | value | uncertainty | command, device |", "|---|---|---|---|"]
        for name, each in self.figures.items():
            lines.append(f"| {name} | {each.value:.4g} | {each.uncertainty} | `{each.command}`, {each.device} |")
        return "\n".join(lines) + "\n"

    def with_figures(self, figures: Mapping[str, Figure]) -> "Card":
        """The card with further figures; those of the same name are replaced."""
        return dataclasses.replace(self, figures={**self.figures, **figures})


def read_card(file: str | Path) -> Card:
    """Read card.json; a ValueError names what is missing or unknown."""
    try:
        content: dict[str, Any] = json.loads(Path(file).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} cannot be read as a card: {error}") from error
    wanted = {field.name for field in dataclasses.fields(Card)}
    differ = sorted(set(content) ^ wanted)
    require(not differ, f"{file} is no card of this release: its entries differ in {', '.join(differ)}")
    return Card(**{**content, "figures": {name: Figure(**each) for name, each in content["figures"].items()}})


def write_card(file: str | Path, card: Card) -> Path:
    """Write card.json, atomically."""
    with written_whole(Path(file)) as part:
        part.write_text(json.dumps(dataclasses.asdict(card), indent=1, ensure_ascii=False) + "\n")
    return Path(file)
