"""A trained thing: its model, its config, and the folder that it lives in (see ``score_sde.workdir``)."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Key, Shaped
from ml_collections import ConfigDict

from score_sde import guidance, likelihood, parameters
from score_sde import workdir as layout
from score_sde.conditions import Conditions
from score_sde.config import (
    build_conditions,
    build_model,
    build_network,
    build_sampler,
    build_scaling,
    build_source,
    get,
    sample_shape,
)
from score_sde.data import DataScaling
from score_sde.denoiser import Condition, Denoiser, NetworkDenoiser
from score_sde.samplers import Samples


@dataclasses.dataclass(frozen=True)
class Run:
    """A model with what is needed to use it. ``step`` and ``weights`` say which of a run's weights these are."""

    model: NetworkDenoiser
    config: ConfigDict
    step: int | None = None
    weights: str = "raw"
    workdir: Path | None = None

    @property
    def network(self) -> Any:
        """The bare network, without what a discrete model puts around it."""
        network = self.model.network
        return getattr(network, "network", network)

    @property
    def steps(self) -> list[int]:
        """The steps of which the workdir has a checkpoint."""
        return [] if self.workdir is None else saved_steps(self.workdir)

    @cached_property
    def scaling(self) -> DataScaling:
        """The map between data and model space."""
        return build_scaling(self.config, self.source("train"))

    @property
    def conditions(self) -> Conditions:
        """What the model is told beside x."""
        return build_conditions(self.config)

    def source(self, split: str = "train") -> Any:
        """The data that the config names."""
        return build_source(self.config, split)

    def sample(
        self,
        key: Key[Array, ""],
        n: int,
        sampler: Callable[..., Samples] | None = None,
        condition: Condition = None,
        **options: Any,
    ) -> Samples:
        """N samples in model space, by any function of ``ss.samplers``; unless given, by the config's own sampler.

        With a condition, config.sampling.guidance is the scale of classifier-free guidance.
        """
        draw = sampler or build_sampler(self.config)
        return draw(self.guided(condition), key, n, sample_shape(self.config), condition=condition, **options)

    def guided(self, condition: Condition) -> Denoiser:
        """The model that the config samples from under this condition."""
        scale = float(get(self.config, "sampling.guidance", 1.0))
        if condition is None or scale == 1.0:
            return self.model
        interval = get(self.config, "sampling.guidance_interval", None)
        return guidance.classifier_free(
            self.model, scale, null=self.conditions.null, interval=None if interval is None else tuple(interval)
        )

    def some_labels(self, n: int) -> Condition:
        """A condition for n pictures, each class in turn; None for an unconditional model."""
        classes = get(self.config, "model.num_classes", None)
        return None if classes is None else {"label": jnp.arange(n) % classes}

    def condition_of(self, examples: Mapping[str, Any]) -> Condition:
        """The condition that examples of the source carry; None for an unconditional model."""
        return self.conditions.of(examples)

    def condition(self, n: int | None = None, **values: Any) -> Condition:
        """The tree of leaves that this network takes: ``run.condition(label=3, n=16)``, ``run.condition(label=[1, 2])``.

        A leaf that is not named takes its null value. None for an unconditional model.
        """
        return self.conditions.make(n, **values)

    def log_likelihood(
        self,
        images: Shaped[Array | np.ndarray, "n ..."],
        key: Key[Array, ""],
        condition: Condition = None,
        **options: Any,
    ) -> likelihood.LogLikelihood:
        """Log-densities of data as the source has them, dequantised if they are levels (see ``ss.log_likelihood``)."""
        return likelihood.of_data(self.model, images, key, self.scaling, condition, **options)[1]

    def bits_per_dim(
        self,
        images: Shaped[Array | np.ndarray, "n ..."],
        key: Key[Array, ""],
        condition: Condition = None,
        **options: Any,
    ) -> Shaped[Array, "n"]:
        """The same in bits per dimension, or nats per dimension where the data are continuous."""
        return likelihood.of_data(self.model, images, key, self.scaling, condition, **options)[0]

    def to_images(self, x: Shaped[Array | np.ndarray, "..."]) -> Shaped[Array, "..."]:
        """Model space to the data's own: levels in bytes for images, numbers for continuous data."""
        return self.scaling.to_images(x)


def load(workdir: str | Path, step: int | None = None, weights: str = "ema") -> Run:
    """The run in a workdir: its newest checkpoint, or that of a step; the averaged weights, or "raw" ones.

    Of a running training it is the newest one that is whole; a damaged one is passed over with a warning.
    """
    from score_sde.training import checkpoint

    workdir = Path(workdir)
    config = layout.read_config(workdir)
    path = _choose(workdir, step)
    groups = checkpoint.groups(path)
    if weights not in groups:
        there = [name for name in groups if name not in ("optimizer", "counters")]
        raise ValueError(f"weights = {weights!r}; the checkpoint of step {path.name} has {', '.join(map(repr, there))}")
    saved = checkpoint.load_arrays(path, (weights,))
    network = nnx.eval_shape(lambda: build_network(config, nnx.Rngs(0)))
    network = set_arrays(network, saved[weights])
    return Run(build_model(config, network), config, int(path.name), weights, workdir)


def save(workdir: str | Path, config: ConfigDict, step: int, networks: Mapping[str, nnx.Module]) -> Path:
    """A workdir that ``load`` opens, from networks by the name of their weights ("raw", "ema"). Refuses another's."""
    from score_sde.training import checkpoint

    workdir = Path(workdir)
    target = workdir / "checkpoints" / str(step)
    if target.exists():
        raise ValueError(f"{target} exists already; give another folder, or remove it")
    layout.prepare(workdir, config)
    groups = {name: get_arrays(network) for name, network in networks.items()}
    checkpoint.save_arrays(target, groups, {"format": 1, "step": step, "weights": list(groups)})
    return workdir


def saved_steps(workdir: str | Path) -> list[int]:
    """The steps of the finished checkpoints in a workdir, in order."""
    from score_sde.training import checkpoint

    return checkpoint.steps(Path(workdir) / "checkpoints")


def get_arrays(network: nnx.Module) -> dict[str, Array]:
    """Every array of a network by its name."""
    trained, constants, _ = parameters.split(network)
    return trained | constants


def set_arrays(network: nnx.Module, arrays: Mapping[str, Array]) -> Any:
    """The network with other arrays; a ValueError unless the names and shapes are its own."""
    trained, constants, structure = parameters.split(network)
    mine = trained | constants
    wrong = sorted(set(mine) ^ set(arrays))
    wrong += [name for name in mine if name in arrays and mine[name].shape != arrays[name].shape]
    if wrong:
        raise ValueError(
            f"the checkpoint is not of the network that config.json describes: {len(wrong)} parameters differ in name or "
            f"shape, such as {', '.join(wrong[:4])}. Was config.json edited?"
        )
    return structure.build({name: jnp.asarray(arrays[name]) for name in mine})


def _choose(workdir: Path, step: int | None) -> Path:
    """The checkpoint of a step, or the newest one that is not damaged. Nothing is moved: the run may be training."""
    import warnings

    from score_sde.training import checkpoint

    steps = saved_steps(workdir)
    if not steps:
        raise ValueError(f"{workdir} has no checkpoint under checkpoints/ yet; has its training saved one?")
    if step is not None:
        if step not in steps:
            raise ValueError(f"{workdir} has no checkpoint of step {step}; it has {', '.join(map(str, steps))}")
        checkpoint.check(workdir / "checkpoints" / str(step))
        return workdir / "checkpoints" / str(step)
    for newest in reversed(steps):
        path = workdir / "checkpoints" / str(newest)
        try:
            checkpoint.check(path)
            return path
        except checkpoint.DamagedError as error:
            problem = error
            warnings.warn(f"{error}; the one before it is used", stacklevel=3)
    raise problem
