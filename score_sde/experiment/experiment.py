"""The parts that a config describes: data, model, task, optimiser, sampler, each built on first access."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from score_sde import config as configs
from score_sde.conditions import Condition, Conditions
from score_sde.config.settings import Evaluation, Example, Logging
from score_sde.control.low_resolution import check_told
from score_sde.data import DataScaling, Source
from score_sde.data.captioned import Captioned
from score_sde.evaluation import PosteriorDraws, References
from score_sde.experiment.facts import facts_of, told_words, with_facts
from score_sde.guidance.agree import check_sde
from score_sde.networks.adapters import innermost
from score_sde.randomness import INITIALISATION
from score_sde.sde import SDE
from score_sde.training import Parallel, Task
from score_sde.training.loop import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """A checked config, and its parts. ``Experiment.of(config)`` makes one from a user's config.

    ``resolve`` maps a reference to another run to its model; see ``score_sde.experiment.loading``.
    """

    config: ConfigDict
    resolve: Callable[[Mapping], Any] | None = None

    @classmethod
    def of(
        cls, config: Mapping[str, Any] | ConfigDict, resolve: Callable[[Mapping], Any] | None = None
    ) -> "Experiment":
        """Fill in the defaults and the facts about the data; a ValueError lists all invalid fields."""
        return cls(ConfigDict(with_facts(configs.checked(as_sections(config)))), resolve)

    # Data.

    def source(self, split: str = "train") -> Source:
        """The data; their examples must agree with config.example."""
        source = Captioned.of(configs.build(self._sections, "data", split=split), self.conditions.encoders)
        wanted, found = self.example, facts_of(source)
        for name in ("shape", "levels", "classes"):
            mine, theirs = getattr(wanted, name), getattr(found, name)
            if mine != theirs and not (name == "classes" and mine is None):
                raise ValueError(
                    f"config.example.{name} = {mine}, but the data ({source.name}) have {theirs}; correct it or leave "
                    "config.example out, or let the source resize"
                )
        return source

    @cached_property
    def example(self) -> Example:
        """The form of one example."""
        example = configs.build(self._sections, "example")
        return dataclasses.replace(example, shape=tuple(example.shape))

    @cached_property
    def scaling(self) -> DataScaling:
        """The map between data and model space."""
        levels = self.example.levels
        dequantize = bool(self.config.scaling.get("dequantize")) and levels is not None
        section = {**self._sections["scaling"], "dequantize": dequantize}  # continuous data have no cells
        return configs.build({**self._sections, "scaling": section}, "scaling", levels=levels)

    @cached_property
    def conditions(self) -> Conditions:
        """The leaves of the model's condition; a label has the number of classes of the data."""
        shape, levels = self.example.shape, self.example.levels
        leaves = configs.build_many(self._sections, "conditions", shape=shape, levels=levels)
        for name, leaf in leaves.items():
            if leaf.text is not None:
                leaves[name] = dataclasses.replace(leaf, text=told_words(leaf.text, self.example.words))
            elif leaf.empty is None and leaf.encoder is None and leaf.entry(name) == "label":
                if self.example.classes is None:
                    raise ValueError(
                        f"config.conditions.{name} is made from labels, but the data have none (config.example.classes)"
                    )
                leaves[name] = dataclasses.replace(leaf, classes=self.example.classes)
            elif leaf.dropout > 0 and leaf.empty is None:
                raise ValueError(
                    f"config.conditions.{name}.null is missing: dropout = {leaf.dropout} needs the value that stands "
                    "for 'not told'; or set dropout = 0"
                )
        check_told({name: leaf.made for name, leaf in leaves.items() if leaf.made is not None})
        return Conditions(leaves)

    # The model and the task.

    @cached_property
    def sde(self) -> SDE:
        """The forward process."""
        return configs.build(self._sections, "sde")

    def network(self, rngs: nnx.Rngs) -> Any:
        """The network; its parameters for facts about the examples and the SDE are filled in."""
        *spatial, channels = self.example.shape
        sizes = spatial[0] if len(set(spatial)) == 1 else tuple(spatial)
        labels = [leaf.classes for leaf in self.conditions.leaves.values() if leaf.classes is not None]
        given = {
            "rngs": rngs,
            "image_size": sizes,
            "channels": channels,
            "spatial_dims": len(spatial),
            "shape": self.example.shape,
            "num_classes": labels[0] if labels else None,
            **self._form_of_text(),
            "sigmas": self._table_of_sigmas(),
            "data_in_unit_range": not self.config.scaling.centered,
        }
        if self._network_needs("base"):
            given["base"] = innermost(self.base.network)
        if self._network_needs("num_classes"):
            given["num_classes"] = self.example.classes
            if self.example.classes is None:
                raise ValueError(
                    f"config.network.name = {self.config.network.name!r} is for classes, but the data have no labels "
                    "(config.example.classes)"
                )
        if self._network_needs("image_size") and len(self.example.shape) < 2:
            raise ValueError(
                f"config.network.name = {self.config.network.name!r} is for images, but an example has shape "
                f"{self.example.shape}; use 'mlp' or 'resnet'"
            )
        return configs.build(self._sections, "network", **given)

    @cached_property
    def base(self) -> Any:
        """The model that config.task.base refers to, which an adapter is for."""
        reference = self.config.task.get("base")
        if reference is None or self.resolve is None:
            raise ValueError(
                f"config.network.name = {self.config.network.name!r} is an adapter of another model; set config.task = "
                '{"name": "adaptation", "base": WORKDIR}'
            )
        base = self.resolve(reference.to_dict())
        check_sde(self.sde, base.sde, "the base")
        return base

    def model(self, key: Key[Array, ""]) -> Any:
        """The network as a denoiser (or as ``config.denoiser`` specifies), with its initial parameters; or an adapter."""
        network = self.network(nnx.Rngs(jax.random.fold_in(key, INITIALISATION)))
        return network if self._network_needs("base") else self.model_over(network)

    def model_over(self, network: Any) -> Any:
        """The model around an existing network."""
        return configs.build(self._sections, "denoiser", sde=self.sde, network=network)

    def loss(self, *, axis_name: str | None = None, stratified: bool | None = None) -> Callable:
        """The loss, as a function (model, x0, keys, condition) -> (batch,).

        ``axis_name``: the axis over which a step's loss sees only its device's part of the batch (pmap, FSDP).
        ``stratified``: whether times are drawn evenly over a batch; as the config says unless given.
        """
        section = dict(self._sections["loss"])
        if stratified is not None and "times" in configs.parameters_of(configs.constructor_of(self._sections, "loss")):
            times = section.get("times", {"name": "uniform"})
            times = times.get("times", {"name": "uniform"}) if times["name"] == "stratified" else times
            section["times"] = {"name": "stratified", "times": times} if stratified else times
        return configs.build({**self._sections, "loss": section}, "loss", axis_name=axis_name)

    @cached_property
    def task(self) -> Task:
        """The training task."""
        return self.task_over()

    def task_over(self, *, axis_name: str | None = None, stratified: bool | None = None) -> Task:
        """The task with another loss; see ``loss``."""
        if self._network_needs("base"):
            _ = self.base  # read now: ``model`` may be traced, and arrays of files are none then
        return configs.build(
            self._sections,
            "task",
            model=self.model,
            loss_function=self.loss(axis_name=axis_name, stratified=stratified),
            scaling=self.scaling,
            conditions=self.conditions,
            resolve=self.resolve,
            axis_name=axis_name,
        )

    # Training.

    def optimizer(self) -> tuple[Any, Callable]:
        """The optimiser, and its learning-rate schedule."""
        return configs.build(self._sections, "optim", steps=self.config.training.steps)

    @cached_property
    def averages(self) -> dict[str, Callable]:
        """The moving averages of the parameters, by name."""
        return configs.build_many(self._sections, "averages")

    @cached_property
    def parallel(self) -> Parallel:
        """The parallelism over devices."""
        return configs.build(self._sections, "parallel")

    @cached_property
    def plan(self) -> Plan:
        """The length of training and its intervals."""
        return configs.build(self._sections, "training")

    @cached_property
    def logging(self) -> Logging:
        """The outputs of training other than checkpoints."""
        return configs.build(self._sections, "logging")

    # Sampling and evaluation.

    @cached_property
    def sampler(self) -> Callable:
        """The sampler, as a function (model, key, n, shape, condition=…, …)."""
        return configs.build(self._sections, "sampler")

    def guided(self, model: Any, condition: Condition) -> Any:
        """The model with the guidance of the config under this condition; without one only by a bad model."""
        if self.config.guidance is None:
            return model
        if condition is None and "good" not in configs.parameters_of(
            configs.constructor_of(self._sections, "guidance")
        ):
            return model
        given = {"model": model, "good": model, "null": self.conditions.null}
        return configs.build(self._sections, "guidance", resolve=self.resolve, **given)

    @property
    def guiding_leaf(self) -> str | None:
        """The leaf of classes that guidance reads and the model lacks: that of a classifier. None without one."""
        leaf = None if self.config.guidance is None else self.config.guidance.get("leaf")
        return None if self.example.classes is None or leaf in self.conditions.leaves else leaf

    @cached_property
    def evaluation(self) -> Evaluation:
        """The checkpoints and data of evaluation."""
        return configs.build(self._sections, "evaluation")

    def measures(self, folder: Path | None = None) -> dict[str, Any]:
        """The evaluators by name: those of the config, or else of the task. ``folder``: for statistics of the data."""
        references = References(self.source, folder, self.evaluation.batch_size)
        given = {"references": references, "shape": self.example.shape, "sampler": self.sampler}
        chosen = configs.build_many(self._sections, "measures", resolve=self.resolve, **given)
        return chosen or dict(self.task.evaluators())

    @cached_property
    def restoration(self) -> PosteriorDraws:
        """The inverse problem, and the method that draws from its posterior."""
        if self.config.restore is None:
            raise ValueError(
                "config.restore is missing; give the operator and std, such as --config.restore.operator=half_mask "
                '--config.restore.std=0.1, and perhaps a method (the default: "mmps") and draws'
            )
        return configs.build(self._sections, "restore", shape=self.example.shape, sampler=self.sampler)

    @cached_property
    def _sections(self) -> dict[str, Any]:
        return self.config.to_dict()

    def _form_of_text(self) -> dict[str, Any]:
        """What a network must know of the leaf "text"."""
        leaf = self.conditions.leaves.get("text")
        if leaf is None or leaf.text is None:
            return {}
        text = leaf.text
        return {"text_vocabulary": text.vocabulary, "text_features": text.features, "text_length": text.length}

    def _network_needs(self, parameter: str) -> bool:
        """Whether the network's constructor has this parameter without a default."""
        fields = configs.parameters_of(configs.constructor_of(self._sections, "network"))
        return parameter in fields and fields[parameter].default is fields[parameter].empty

    def _table_of_sigmas(self) -> Any:
        """The noise levels by label, for networks that need them, in descending order: label 0 is the largest."""
        network, needed = self.config.network, self._network_needs("sigmas")
        told_sigma = self.config.denoiser.get("noise_level") == "sigma_level"
        divides = network.get("scale_by_sigma") and network.get("embedding_type", "positional") == "positional"
        if not needed and (told_sigma or not divides):
            return None
        if not hasattr(self.sde, "discrete_sigmas"):
            what = "is told the label of" if needed else "with scale_by_sigma = True divides by an entry of"
            raise ValueError(
                f"config.network.name = {network.name!r} {what} a table of noise levels, which config.sde.name = "
                f"{self.config.sde.name!r} does not have; use 've', or another network"
            )
        return self.sde.discrete_sigmas()[::-1]


def as_sections(config: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    """A config as plain nested dictionaries."""
    return config.to_dict() if isinstance(config, ConfigDict) else dict(config)
