"""Whether another model means the same noise by t."""

import dataclasses

from score_sde.checks import require
from score_sde.sde import SDE

RANGES = ("t_min", "t_min_sampling", "t_max_sampling")
"""Fields that say which times are used, not what a time means."""


def check_sde(sde: SDE, other: SDE, who: str) -> None:
    """Raise a ValueError unless the static parts of both SDEs agree, up to the range of times."""
    mine, theirs = type(sde).__name__, type(other).__name__
    require(
        type(sde) is type(other),
        f"{who} was trained under {theirs}, the model under {mine}: its t means another noise",
    )
    for field in dataclasses.fields(sde):
        if field.metadata.get("static", True) and field.name not in RANGES:
            here, there = getattr(sde, field.name), getattr(other, field.name)
            require(
                here == there,
                f"{who} was trained under {theirs} with {field.name} = {there}, the model with {field.name} = {here}: its "
                "t means another noise",
            )
