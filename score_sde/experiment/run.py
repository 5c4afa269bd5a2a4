"""A trained thing: its model, its config, and the folder that it lies in (see ``score_sde.experiment.workdir``)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key, Shaped
from ml_collections import ConfigDict

from score_sde import checkpoints, likelihood
from score_sde.conditions import Condition
from score_sde.data import DataScaling, Source
from score_sde.denoiser import Denoiser
from score_sde.experiment.experiment import Experiment
from score_sde.samplers import Samples

Images = Shaped[Array | np.ndarray, "n ..."] | Sequence


@dataclasses.dataclass(frozen=True)
class Run:
    """A model with what is needed to use it. ``step`` and ``weights`` say which of a run's weights these are."""

    model: Any
    experiment: Experiment
    step: int | None = None
    weights: str = "raw"
    workdir: Path | None = None

    @property
    def config(self) -> ConfigDict:
        """The config, with every default."""
        return self.experiment.config

    @property
    def network(self) -> Any:
        """The bare network, without what a discrete model puts around it."""
        network = self.model.network
        return getattr(network, "network", network)

    @property
    def steps(self) -> list[int]:
        """The steps whose weights the workdir has."""
        return [] if self.workdir is None else checkpoints.steps(self.workdir)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.experiment.example.shape)

    @property
    def scaling(self) -> DataScaling:
        """The map between data and model space."""
        return self.experiment.scaling

    def source(self, split: str = "train") -> Source:
        """The data that the config names."""
        return self.experiment.source(split)

    def condition(self, n: int | None = None, **values: Any) -> Condition:
        """The leaves that this run's network takes: ``run.condition(label=3, n=16)``, ``run.condition(label=[1, 2])``.

        A leaf that is not named takes its null value. None for an unconditional model.
        """
        return self.experiment.conditions.make(n, **values)

    def condition_of(self, examples: Mapping[str, Any]) -> Condition:
        """The condition that examples of the source carry."""
        return self.experiment.conditions.of(examples)

    def sample(
        self,
        key: Key[Array, ""],
        n: int,
        sampler: Callable[..., Samples] | None = None,
        condition: Condition = None,
        **options: Any,
    ) -> Samples:
        """n samples in model space, by any function of ``ss.samplers``; unless given, by the config's own sampler.

        With a condition the model is guided as config.guidance says.
        """
        if not isinstance(self.model, Denoiser):
            task = self.experiment.task.name.replace("_", " ")
            raise ValueError(
                f"this run trains a {task}, which has no samples; give the model to what uses it, such as "
                "ss.guidance.classifier"
            )
        draw = sampler or self.experiment.sampler
        return draw(self.guided(condition), key, n, self.shape, condition=condition, **options)

    def guided(self, condition: Condition) -> Denoiser:
        """The model that the config samples from under this condition."""
        return self.experiment.guided(self.model, condition)

    def some_labels(self, n: int) -> Condition:
        """A condition for n pictures: each class in turn, other leaves null; None for an unconditional model."""
        conditions = self.experiment.conditions
        labels = {name: np.arange(n) % leaf.classes for name, leaf in conditions.leaves.items() if leaf.classes}
        return conditions.make(n, **labels)

    def log_likelihood(
        self, images: Images, key: Key[Array, ""], condition: Condition = None, **options: Any
    ) -> likelihood.LogLikelihood:
        """Log-densities of data as the source has them, dequantised if they are levels (see ``ss.log_likelihood``)."""
        return likelihood.of_data(self.model, self._data(images), key, self.scaling, condition, **options)[1]

    def bits_per_dim(
        self, images: Images, key: Key[Array, ""], condition: Condition = None, **options: Any
    ) -> Shaped[Array, "n"]:
        """The same in bits per dimension, or nats per dimension where the data are continuous."""
        return likelihood.of_data(self.model, self._data(images), key, self.scaling, condition, **options)[0]

    def to_images(self, x: Shaped[Array | np.ndarray, "..."]) -> Shaped[Array, "..."]:
        """Model space to the data's own: levels in bytes for images, numbers for continuous data."""
        return self.scaling.to_images(x)

    def _data(self, images: Images) -> Any:
        """As an array of examples; a ValueError unless each has the shape of one."""
        array = images if isinstance(images, jax.Array) else np.asarray(images)
        if array.shape[1:] != self.shape:
            raise ValueError(
                f"images have shape {array.shape}; give (n, {', '.join(map(str, self.shape))}), n examples as the data "
                "have them"
            )
        return array
