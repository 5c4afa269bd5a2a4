"""Models that come with the package: one folder each, as ``score_sde.experiment.packed`` describes."""

import difflib
from pathlib import Path

from score_sde.checks import require

BOX = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The models in the box."""
    return tuple(sorted(path.parent.name for path in BOX.glob("*/card.json")))


def folder(name: str) -> Path:
    """The folder of a model; a ValueError lists all names."""
    there = names()
    close = difflib.get_close_matches(name, there, n=1)
    require(
        name in there,
        f"there is no model {name!r} in the box{f'; did you mean {close[0]!r}?' if close else ''}; allowed: "
        f"{', '.join(map(repr, there))}",
    )
    return BOX / name
