"""A run: its model, its config, and its folder (see ``score_sde.experiment.workdir``)."""

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
    """A model together with its experiment. ``step`` and ``weights`` identify the weights within the run."""

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
        """The network itself, without the wrapper of a discrete model."""
        network = self.model.network
        return getattr(network, "network", network)

    @property
    def steps(self) -> list[int]:
        """The steps whose weights are in the workdir."""
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
        """The data of the config."""
        return self.experiment.source(split)

    def condition(self, n: int | None = None, **values: Any) -> Condition:
        """A condition for this run's network: ``run.condition(label=3, n=16)``, ``run.condition(label=[1, 2])``.

        Leaves without an argument have their null value. None for an unconditional model.
        """
        return self.experiment.conditions.make(n, **values)

    def condition_of(self, examples: Mapping[str, Any]) -> Condition:
        """The condition of examples of the source."""
        return self.experiment.conditions.of(examples)

    def sample(
        self,
        key: Key[Array, ""],
        n: int,
        sampler: Callable[..., Samples] | None = None,
        condition: Condition = None,
        **options: Any,
    ) -> Samples:
        """n samples in model space, by any function of ``ss.samplers``; the default is the config's own sampler.

        With a condition, the guidance of config.guidance applies.
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
        """The model with the guidance of the config under this condition."""
        return self.experiment.guided(self.model, condition)

    def some_labels(self, n: int) -> Condition:
        """A condition for n samples: each class in turn, other leaves null; None for an unconditional model."""
        conditions = self.experiment.conditions
        labels = {name: np.arange(n) % leaf.classes for name, leaf in conditions.leaves.items() if leaf.classes}
        return conditions.make(n, **labels)

    def log_likelihood(
        self, images: Images, key: Key[Array, ""], condition: Condition = None, **options: Any
    ) -> likelihood.LogLikelihood:
        """Log-densities of data in the form of the source, with levels dequantised (see ``ss.log_likelihood``)."""
        return likelihood.of_data(self.model, self._data(images), key, self.scaling, condition, **options)[1]

    def bits_per_dim(
        self, images: Images, key: Key[Array, ""], condition: Condition = None, **options: Any
    ) -> Shaped[Array, "n"]:
        """Bits per dimension of data, or nats per dimension if the data are continuous."""
        return likelihood.of_data(self.model, self._data(images), key, self.scaling, condition, **options)[0]

    def to_images(self, x: Shaped[Array | np.ndarray, "..."]) -> Shaped[Array, "..."]:
        """Map model space to data space: levels as bytes for images, numbers for continuous data."""
        return self.scaling.to_images(x)

    def _data(self, images: Images) -> Any:
        """Images as an array; a ValueError unless each has the shape of an example."""
        array = images if isinstance(images, jax.Array) else np.asarray(images)
        if array.shape[1:] != self.shape:
            raise ValueError(
                f"images have shape {array.shape}; give (n, {', '.join(map(str, self.shape))}), n examples as the data "
                "have them"
            )
        return array
