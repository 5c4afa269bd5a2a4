"""The parts of an experiment: the section of each part in a config, and the module of its constructors (the "room").

A section's ``name`` selects a constructor among the public names of the room (``denoising``, ``predictor_corrector``;
case and underscores do not matter), or your own by its import path; the other fields are its arguments. A constructor
added to its room and exported in the room's ``__init__`` can be used immediately: only the rooms are listed here.
"""

import dataclasses
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from score_sde.config.signatures import parameters_of


@dataclasses.dataclass(frozen=True)
class Part:
    """One kind of part.

    room        the modules of the constructors, one name or several
    accepts     which public names of the rooms are constructors of the part
    default     the constructor if the section names none
    given       arguments that are not fields, because the builder supplies them
    late        whether they are supplied at each call; the part is then the function with its fields bound
    only        whether ``default`` is the only constructor, so that the section needs no name
    """

    room: str | tuple[str, ...]
    accepts: Callable[[Any], bool] = lambda thing: True
    default: str | None = None
    given: tuple[str, ...] = ()
    late: bool = False
    only: bool = False

    def choices(self) -> dict[str, Any]:
        """The constructors by their short names; those of data sources are import paths, which are loaded on use."""
        rooms = (self.room,) if isinstance(self.room, str) else self.room
        if self.only:
            assert self.default is not None
            return {self.default: getattr(importlib.import_module(rooms[0]), self.default)}
        found: dict[str, Any] = {}
        for room in rooms:
            module = importlib.import_module(room)
            found |= getattr(module, "SOURCES", None) or {
                short(name): thing for name, thing in _public(module).items() if self.accepts(thing)
            }
        return found


def short(name: str) -> str:
    """``"PredictorCorrector"`` as "predictor_corrector", "NCSNpp" as "ncsnpp"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{3})", "_", name).lower()


def same(one: str, other: str) -> bool:
    """Whether two names differ only in case, underscores and hyphens."""
    return re.sub("[_-]", "", one).lower() == re.sub("[_-]", "", other).lower()


@functools.cache
def _public(module: Any) -> dict[str, Any]:
    """The public callables of a module: those in ``__all__``, or else those that it defines."""
    listed = getattr(module, "__all__", None)
    names = listed or [
        name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__
    ]
    things = {name: getattr(module, name) for name in names if not name.startswith("_")}
    return {
        name: thing for name, thing in things.items() if callable(thing) and not getattr(thing, "_is_protocol", False)
    }


# Filters for the constructors of a part in a room.


def _leads(*names: str) -> Callable[[Any], bool]:
    return lambda thing: tuple(parameters_of(thing))[: len(names)] == names


def _takes(name: str) -> Callable[[Any], bool]:
    return lambda thing: name in parameters_of(thing)


def _returns(name: str) -> Callable[[Any], bool]:
    """A function annotated to return an object of the class of this name."""
    return lambda thing: (
        not isinstance(thing, type) and getattr(inspect.signature(thing).return_annotation, "__name__", "") == name
    )


def _draws_posteriors(thing: Any) -> bool:
    """A posterior denoiser from (model, A), or a sampler given a likelihood."""
    denoiser = _leads("model", "A")(thing) and not _takes("prior")(thing)
    return denoiser or (_returns("Samples")(thing) and _takes("likelihood")(thing))


def _has(*methods: str, base: str = "") -> Callable[[Any], bool]:
    """A class with these methods, other than the base class."""
    return lambda thing: (
        isinstance(thing, type) and thing.__name__ != base and all(hasattr(thing, name) for name in methods)
    )


FROM_EXAMPLE = ("image_size", "channels", "shape", "spatial_dims", "num_classes")
FROM_TEXT = ("text_vocabulary", "text_features", "text_length")
RUNTIME = ("model", "key", "n", "shape", "condition", "x_init", "start", "record", "save_every", "noise", "progress")

SECTIONS: Mapping[str, Part] = {
    "data": Part("score_sde.data.sources", given=("split",)),
    "batches": Part(
        "score_sde.data",
        default="training_batches",
        given=("source", "seed", "entries", "spatial", "sharding"),
        only=True,
    ),
    "example": Part("score_sde.config.settings", default="Example", only=True),
    "scaling": Part("score_sde.data", default="DataScaling", given=("levels",), only=True),
    "sde": Part("score_sde.sde", _has("log_snr", base="SDE"), default="vp"),
    "network": Part(
        "score_sde.networks",
        _takes("rngs"),
        given=("rngs", *FROM_EXAMPLE, *FROM_TEXT, "sigmas", "data_in_unit_range", "base"),
    ),
    "denoiser": Part(
        ("score_sde.denoiser", "score_sde.guidance", "score_sde.flow_map"),
        _leads("sde", "network"),
        default="network_denoiser",
        given=("sde", "network", "dropout_keys"),
    ),
    "loss": Part(
        ("score_sde.losses", "score_sde.losses.few_step"),
        _leads("model", "x0", "keys", "condition"),
        default="denoising",
        given=("model", "x0", "keys", "condition", "teacher", "target", "step"),
        late=True,
    ),
    "task": Part(
        "score_sde.tasks",
        _has("init", "loss", base="Task"),
        default="diffusion",
        given=("model", "loss_function", "scaling", "conditions", "axis_name"),
    ),
    "optim": Part("score_sde.training.optimizer", default="optimizer", given=("steps",), only=True),
    "parallel": Part("score_sde.training.parallel", default="Parallel", given=("devices",), only=True),
    "training": Part("score_sde.training.loop", default="Plan", only=True),
    "logging": Part("score_sde.config.settings", default="Logging", only=True),
    "sampler": Part(
        "score_sde.samplers",
        lambda thing: _leads("model", "key", "n", "shape")(thing) and thing.__name__ != "generate",
        default="dpm_solver",
        given=RUNTIME,
        late=True,
    ),
    "guidance": Part(
        "score_sde.guidance",
        lambda thing: _leads("model")(thing) or _leads("good")(thing),
        given=("model", "good", "null"),
    ),
    "evaluation": Part("score_sde.config.settings", default="Evaluation", only=True),
    "restore": Part("score_sde.evaluation", default="PosteriorDraws", given=("shape", "sampler"), only=True),
}
OPTIONAL = ("guidance", "restore")
"""Sections that may be None."""
FOLLOWS = ("example",)
"""Sections that are filled in from the data if missing."""

MANY: Mapping[str, Part] = {
    "conditions": Part("score_sde.conditions", default="Leaf", only=True),
    "averages": Part("score_sde.training.averages", default="constant"),
    "measures": Part("score_sde.evaluation", _has("measure"), given=("references", "shape", "sampler")),
}
"""Sections with several parts, named by the user."""

MANY_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"averages": {"ema": {}}}

NESTED: Mapping[str, Part] = {
    "network": Part(
        "score_sde.networks", _takes("rngs"), given=("rngs", *FROM_EXAMPLE, *FROM_TEXT, "out_channels"), late=True
    ),
    "weighting": Part("score_sde.losses.weightings", default="score_matching", given=("sde", "t"), late=True),
    "times": Part("score_sde.losses.times", _has("quantile", "density"), default="uniform", given=("axis_name",)),
    "pairs": Part("score_sde.losses.few_step", _has("draw"), default="sorted"),
    "distance": Part("score_sde.losses.few_step.distances", given=("error",), late=True),
    "points": Part("score_sde.losses.few_step", _leads("steps", "first", "last")),
    "noise_level": Part("score_sde.denoiser.levels", _leads("sde", "t"), given=("sde", "t"), late=True),
    "rule": Part("score_sde.training.optimizer", _leads("rate"), default="adam", given=("rate",), late=True),
    "made": Part(
        "score_sde.control", lambda thing: thing.__name__ != "Control", default="edges", given=("shape", "levels")
    ),
    "text": Part("score_sde.text", _has("encode"), default="words", given=("words",)),
    "predictor": Part(("score_sde.samplers.predictors", "score_sde.samplers.chain_steps"), _has("step")),
    "corrector": Part("score_sde.samplers.correctors", _has("step")),
    "time_grid": Part("score_sde.samplers.grids", _leads("sde", "steps"), given=("sde", "steps"), late=True),
    "scale": Part(
        "score_sde.guidance.scale",
        lambda thing: isinstance(thing, type),
        default="over_log_snr",
        given=("log_snr",),
        late=True,
    ),
    "features": Part("score_sde.evaluation.features", _returns("Extractor"), default="efficientnet_lite0"),
    "solver": Part(
        ("diffrax", "score_sde.inverse"),
        lambda thing: _has("order", "error_order")(thing) or _takes("iterations")(thing),
    ),
    "operator": Part("score_sde.inverse.operators", _takes("shape"), given=("shape",)),
    "blur": Part("score_sde.inverse.operators", _takes("shape"), given=("shape",)),
    "method": Part("score_sde.inverse", _draws_posteriors, given=("A", "std", "likelihood", *RUNTIME), late=True),
}
"""Parameters of any constructor that are themselves parts."""
OR_NUMBERS = ("time_grid", "scale", "points", "features")
"""Those that may also be numbers."""
