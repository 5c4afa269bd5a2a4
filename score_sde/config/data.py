"""The data that config.data describes, and the map between them and model space."""

from typing import Any

from ml_collections import ConfigDict

from score_sde.conditions import Conditions, Leaf
from score_sde.config.access import get, sample_shape
from score_sde.data import DataScaling, open_source
from score_sde.data.sources import SOURCES


def build_source(config: ConfigDict, split: str = "train") -> Any:
    """The split of the source of config.data.dataset, whose examples must have the shape that the network expects."""
    name, options = get(config, "data.dataset"), dict(get(config, "data.options", {}))
    short = name.lower().replace("-", "")
    short = short if short in SOURCES else name
    if short == "lsun":
        options.setdefault("category", get(config, "data.category"))
    if short in ("lsun", "celeba", "celebahq", "images"):
        options.setdefault("size", get(config, "data.image_size"))
    source = open_source(short, split, **options)
    expected = sample_shape(config)
    if tuple(source.shape) != expected:
        raise ValueError(
            f"config.data.dataset = {name!r} has examples of shape {tuple(source.shape)}, but config.data says "
            f"{expected}; correct data.image_size and data.num_channels, or let the source resize (data.options)"
        )
    classes = get(config, "model.num_classes", None)
    if classes is not None and source.num_classes != classes:
        raise ValueError(
            f"config.model.num_classes = {classes}, but {name!r} has "
            + ("no labels; set model.num_classes = None" if source.num_classes is None else f"{source.num_classes}")
        )
    return source


def build_conditions(config: ConfigDict) -> Conditions:
    """The leaves of the model's condition: a label if it has classes."""
    classes = get(config, "model.num_classes", None)
    dropout = float(get(config, "training.label_dropout", 0.1))
    return Conditions({} if classes is None else {"label": Leaf(classes=classes, dropout=dropout)})


def build_scaling(config: ConfigDict, source: Any) -> DataScaling:
    """Model space for the levels of a source."""
    mean, std = (
        tuple(value) if isinstance(value, list | tuple) else value
        for value in (get(config, "data.mean", 0.0), get(config, "data.std", 1.0))
    )
    return DataScaling(
        levels=source.levels,
        centered=get(config, "data.centered"),
        dequantize=bool(get(config, "data.uniform_dequantization", False)) and source.levels is not None,
        mean=mean,
        std=std,
    )
