"""Build and trace every part of an experiment abstractly, so that invalid arguments raise errors before step 1."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from score_sde.checks import require
from score_sde.denoiser import FunctionDenoiser
from score_sde.experiment.experiment import Experiment

SHAPE = (2,)
"""The shape of the examples for tracing losses and samplers, which do not depend on it."""


def check(experiment: Experiment) -> None:
    """Build all parts and trace model, loss and sampler; a ValueError names the section of an invalid part."""
    for name in ("scaling", "conditions", "sde", "task", "averages", "parallel", "plan", "logging", "evaluation"):
        getattr(experiment, name)
    experiment.optimizer()
    parallel, remat = experiment.parallel, experiment.config.network.get("remat", "none")
    require(
        not (parallel.rules and parallel.regather and remat != "none"),
        f"config.network.remat = {remat!r} has no effect where config.parallel.rules divide parameters and gather them "
        'again for the backward pass; give config.parallel.regather = False, or config.network.remat = "none"',
    )
    experiment.measures()
    if experiment.config.restore is not None:
        experiment.restoration  # noqa: B018
    model = jax.eval_shape(lambda key: experiment.task.whole(experiment.task.init(key)), jax.random.key(0))
    experiment.guided(model, {} if experiment.conditions or experiment.guiding_leaf else None)
    # The exact denoiser of data at 0 replaces the network: it is cheap and defined at all times of every SDE.
    simple, beside = experiment.task.rehearsal(FunctionDenoiser(experiment.sde, _zero, predicts="data"))
    keys = jax.random.split(jax.random.key(0), 2)
    with _section("config.loss"):
        jax.eval_shape(lambda keys: experiment.loss()(simple, jnp.zeros((2, *SHAPE)), keys, None, **beside), keys)
    with _section("config.sampler"):
        jax.eval_shape(lambda key: experiment.sampler(simple, key, 2, SHAPE, condition=None), keys[0])


def _zero(x: Any, t: Any, condition: Any) -> Any:
    return jnp.zeros_like(x)


@contextlib.contextmanager
def _section(path: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
