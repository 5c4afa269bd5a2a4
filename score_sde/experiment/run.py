"""A run: its model, its config, and its folder (see ``score_sde.experiment.workdir``)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, Shaped
from ml_collections import ConfigDict

from score_sde import checkpoints, evaluation, likelihood
from score_sde.conditions import Condition
from score_sde.data import DataScaling, Source
from score_sde.data.batches import take
from score_sde.data.source import mixed
from score_sde.evaluation import Evaluator, References, Stream, Subject
from score_sde.evaluation.unit_range import in_model_space
from score_sde.experiment.card import Card
from score_sde.experiment.experiment import Experiment
from score_sde.flow_map import Drawable
from score_sde.randomness import OF_CONDITIONS, keys_of
from score_sde.samplers import Samples
from score_sde.training.measured import measured_loss

AT_ONCE = 256
"""The examples whose conditions are made at once."""
Images = Shaped[Array | np.ndarray, "n ..."] | Sequence


@dataclasses.dataclass(frozen=True)
class Run:
    """A model together with its experiment. ``step`` and ``weights`` identify the weights within the run.

    ``card``: where a model that was packed for others comes from, and what was measured with it.
    """

    model: Any
    experiment: Experiment
    step: int | None = None
    weights: str = "raw"
    workdir: Path | None = None
    card: Card | None = None

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

    def condition_of(self, examples: Mapping[str, Any], key: Key[Array, ""] | None = None) -> Condition:
        """The condition of examples of the source. ``key``: for what is made at random; by default the seed's."""
        n = len(next(iter(examples.values())))
        keys, conditions = self.keys(n, key), self.experiment.conditions
        parts = [slice(i, i + AT_ONCE) for i in range(0, n, AT_ONCE)]
        made = [conditions.of({name: x[part] for name, x in examples.items()}, keys[part]) for part in parts]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *made)

    def keys(self, n: int, key: Key[Array, ""] | None = None) -> Key[Array, "n"]:
        """Of n pictures, for what is made from them."""
        key = jax.random.key(self.config.seed) if key is None else key
        return keys_of(jax.random.fold_in(key, OF_CONDITIONS), jnp.arange(n))

    def sample(
        self,
        key: Key[Array, ""],
        n: int,
        sampler: Callable[..., Samples] | None = None,
        condition: Condition = None,
        **options: Any,
    ) -> Samples:
        """n samples in model space, by any function of ``ss.samplers``; the default is the config's own sampler.

        With a condition, the guidance of config.guidance applies; guidance by a bad model always does. A classifier's leaf
        is one of the condition, even of an unconditional model: condition={"label": y}.
        """
        if not isinstance(self.model, Drawable):
            task = self.experiment.task.name.replace("_", " ")
            raise ValueError(
                f"this run trains a {task}, which has no samples; give the model to what uses it, such as "
                "ss.guidance.classifier"
            )
        draw = sampler or self.experiment.sampler
        return draw(self.guided(condition), key, n, self.shape, condition=condition, **options)

    def guided(self, condition: Condition) -> Drawable:
        """The model with the guidance of the config under this condition."""
        return self.experiment.guided(self.model, condition)

    def some_labels(self, n: int) -> Condition:
        """A condition for n samples: each class in turn, other leaves null. None for an unconditional model, unless the
        config guides it by a classifier, which is told the classes of the data.
        """
        conditions, guiding = self.experiment.conditions, self._guiding_labels(n)
        labels = {name: np.arange(n) % leaf.classes for name, leaf in conditions.leaves.items() if leaf.classes}
        condition = conditions.make(n, **labels)
        return {**(condition or {}), **guiding} or None

    def usual_condition(self, n: int) -> Condition:
        """What n samples are told unless said otherwise: each class in turn, or, where the model is told more than classes,
        the conditions of held-out examples.
        """
        leaves = self.experiment.conditions.leaves.values()
        if all(leaf.classes is not None or leaf.between is not None for leaf in leaves):
            return self.some_labels(n)
        source = self.source(self.experiment.evaluation.split)
        return self.condition_of(take(source, mixed(n, len(source)))) | self._guiding_labels(n)

    def _guiding_labels(self, n: int) -> dict[str, Array]:
        """Each class in turn under the name of the leaf that a classifier reads and the model lacks; empty without one."""
        guiding, classes = self.experiment.guiding_leaf, self.experiment.example.classes
        return {} if guiding is None or classes is None else {guiding: jnp.arange(n) % classes}

    def prompted(self, prompts: Sequence[str], n: int, **values: Any) -> Condition:
        """The condition of n samples of these captions in turn; ``values``: of other leaves."""
        texts = [name for name, leaf in self.experiment.conditions.leaves.items() if leaf.text is not None]
        if not texts:
            known = ", ".join(self.experiment.conditions.leaves) or "nothing"
            raise ValueError(f"prompts are for a model that is told a text; this one is told {known}")
        return self.condition(n, **{texts[0]: [prompts[i % len(prompts)] for i in range(n)]}, **values)

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

    def evaluate(
        self,
        measures: Mapping[str, Evaluator] | None = None,
        *,
        n: int | None = None,
        file: str | Path | None = None,
        condition: Condition = None,
    ) -> dict[str, Any]:
        """The result of each evaluator, by default those of the config, on held-out examples or on n samples, which are
        told the ``condition``, by default ``usual_condition``.

        ``run.evaluate({"quality": ss.evaluation.SampleQuality(run.references())}, n=1000)`` compares samples with the
        training set. Results are added to the JSON ``file``, and an evaluation that was killed resumes there.
        """
        experiment = self.experiment
        found: dict[str, Any] = {}
        measures = experiment.measures() if measures is None else measures
        task = experiment.task_over(stratified=False)
        measured = measured_loss(task, experiment.averages)

        def loss(model: Any, batch: Mapping[str, Any], keys: Array) -> Array:
            return measured(task.trained(model), batch, keys)

        subject = Subject(self.model, self.scaling, experiment.conditions, loss)
        key, settings = jax.random.key(self.config.seed), {"weights": self.weights}
        for of in ("examples", "samples"):
            chosen = {name: each for name, each in measures.items() if each.of == of}
            if chosen:
                stream = self._samples(n, condition) if of == "samples" else self._examples(chosen)
                found |= evaluation.evaluate(subject, chosen, stream, key, file, settings=settings)
        return found

    def references(self) -> References:
        """The data of the config, to compare samples with."""
        return References(self.source, None, self.experiment.evaluation.batch_size)

    def _examples(self, measures: Mapping[str, Evaluator]) -> Stream:
        how = self.experiment.evaluation
        used = max(each.first or how.batch_size for each in measures.values())
        return evaluation.examples(self.source(how.split), min(how.batch_size, used))

    def _samples(self, n: int | None, condition: Condition) -> Stream:
        how = self.experiment.evaluation
        n = n or how.samples
        condition = self.usual_condition(n) if condition is None else condition
        stream = evaluation.samples(
            self.guided(condition),
            jax.random.key(self.config.seed),
            n,
            self.shape,
            self.scaling,
            condition=condition,
            batch_size=min(how.batch_size, n),
            sampler=self.experiment.sampler,
        )
        settings = {name: repr(self.config[name]) for name in ("sampler", "guidance")}
        return dataclasses.replace(stream, about={**stream.about, **settings})

    def from_images(self, images: Images) -> Shaped[Array, "n ..."]:
        """Data in model space, levels in the middle of their cells if the model is of dequantised ones."""
        return in_model_space(self.scaling, jnp.asarray(self._data(images)))

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
