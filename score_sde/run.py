"""A trained thing: its model, its config, and the folder that it lives in.

A workdir holds

    config.json              the resolved config
    checkpoints/STEP/        an Orbax checkpoint: {"raw": {name: array}, "ema": {name: array}}

where a name is the path of a parameter in the network's tree, such as "down.0.blocks.1.conv_0.kernel".
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from score_sde.config import build_model, build_network, build_sampler, sample_shape
from score_sde.denoiser import Condition, NetworkDenoiser
from score_sde.files import written_whole
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

    def sample(
        self,
        key: Key[Array, ""],
        n: int,
        sampler: Callable[..., Samples] | None = None,
        condition: Condition = None,
        **options: Any,
    ) -> Samples:
        """N samples in model space, by any function of ``ss.samplers``; unless given, by the config's own sampler."""
        draw = sampler or build_sampler(self.config)
        return draw(self.model, key, n, sample_shape(self.config), condition=condition, **options)


def load(workdir: str | Path, step: int | None = None, weights: str = "ema") -> Run:
    """The run in a workdir: its newest checkpoint, or that of a step; the averaged weights, or "raw" ones."""
    from score_sde.training import checkpoint

    workdir = Path(workdir)
    config = _read_config(workdir)
    steps = saved_steps(workdir)
    if not steps:
        raise ValueError(f"{workdir} has no checkpoint under checkpoints/ yet; has its training saved one?")
    step = steps[-1] if step is None else step
    if step not in steps:
        raise ValueError(f"{workdir} has no checkpoint of step {step}; it has {', '.join(map(str, steps))}")
    saved = checkpoint.load_arrays(workdir / "checkpoints" / str(step))
    if weights not in saved:
        raise ValueError(f"weights = {weights!r}; the checkpoint of step {step} has {', '.join(map(repr, saved))}")
    network = nnx.eval_shape(lambda: build_network(config, nnx.Rngs(0)))
    set_arrays(network, saved[weights])
    return Run(build_model(config, network), config, step, weights, workdir)


def save(workdir: str | Path, config: ConfigDict, step: int, networks: Mapping[str, nnx.Module]) -> Path:
    """A workdir that ``load`` opens, from networks by the name of their weights ("raw", "ema"). Refuses another's."""
    from score_sde.training import checkpoint

    workdir = Path(workdir)
    target = workdir / "checkpoints" / str(step)
    if target.exists():
        raise ValueError(f"{target} exists already; give another folder, or remove it")
    if workdir.exists() and any(workdir.iterdir()) and not (workdir / "config.json").exists():
        raise ValueError(f"{workdir} is not empty and is no workdir (it has no config.json); give another folder")
    text = json.dumps(config.to_dict(), indent=2, default=list) + "\n"
    existing = workdir / "config.json"
    if existing.exists() and existing.read_text() != text:
        raise ValueError(f"{workdir} belongs to a run with another config; give another folder")
    with written_whole(existing) as part:
        part.write_text(text)
    checkpoint.save_arrays(target, {name: get_arrays(network) for name, network in networks.items()})
    return workdir


def saved_steps(workdir: Path) -> list[int]:
    """The steps of the finished checkpoints in a workdir, in order."""
    folder = Path(workdir) / "checkpoints"
    return sorted(int(path.name) for path in folder.glob("*") if path.is_dir() and path.name.isdigit())


def get_arrays(network: nnx.Module) -> dict[str, Array]:
    """Every array of a network under the path of its name."""
    return {".".join(map(str, path)): value[...] for path, value in nnx.to_flat_state(nnx.state(network))}


def set_arrays(network: nnx.Module, arrays: Mapping[str, Array]) -> None:
    """Put arrays into a network; a ValueError, and nothing changed, unless the names and shapes are its own."""
    variables = {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(nnx.state(network))}
    wrong = sorted(set(variables) ^ set(arrays))
    wrong += [name for name in variables if name in arrays and variables[name].shape != arrays[name].shape]
    if wrong:
        raise ValueError(
            f"the checkpoint is not of the network that config.json describes: {len(wrong)} parameters differ in name or "
            f"shape, such as {', '.join(wrong[:4])}. Was config.json edited?"
        )
    state = nnx.state(network)
    for path, variable in nnx.to_flat_state(state):
        variable.set_value(jax.numpy.asarray(arrays[".".join(map(str, path))]))
    nnx.update(network, state)


def _read_config(workdir: Path) -> ConfigDict:
    file = workdir / "config.json"
    if not workdir.is_dir():
        raise ValueError(f"there is no folder {workdir}")
    if not file.exists():
        found = ", ".join(sorted(path.name for path in workdir.iterdir())[:5]) or "nothing"
        raise ValueError(f"{workdir} is no workdir: it has no config.json (it holds {found})")
    try:
        return ConfigDict(json.loads(file.read_text()))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
