"""What config.training, config.optim and config.parallel describe: loss, optimiser, averages, devices, hooks."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from score_sde import losses
from score_sde.config.access import choose, get, import_path
from score_sde.config.data import build_conditions
from score_sde.data import DataScaling
from score_sde.randomness import Purpose, for_each
from score_sde.training import averages, optimizer
from score_sde.training.averages import Decay
from score_sde.training.optimizer import Schedule
from score_sde.training.parallel import FSDP, Parallel
from score_sde.training.step import Loss


def build_loss(config: ConfigDict, scaling: DataScaling, axis_name: str | None = None) -> Loss:
    """The function (model, batch, keys, step) -> (per example, {}) of a batch of the data pipeline.

    config.training.loss may name your own function (model, x0, keys, condition) -> (batch,) by import path.
    """
    per_example = _per_example(config, axis_name)
    conditions = build_conditions(config)

    def loss(model, batch, keys, step):
        condition = conditions.dropped(conditions.of(batch), keys)
        x0 = scaling.forward(batch["data"], for_each(keys, Purpose.DEQUANTIZATION))
        return per_example(model, x0, keys, condition), {}

    return loss


def build_optimizer(config: ConfigDict) -> tuple[optax.GradientTransformation, Schedule]:
    """(optimiser, learning rate of a step). config.optim.optimizer may be an import path, called with the config."""
    rate = optimizer.schedule(
        float(get(config, "optim.lr")),
        get(config, "optim.warmup"),
        decay=get(config, "optim.decay", "constant"),
        steps=get(config, "training.n_iters"),
    )
    name = get(config, "optim.optimizer")
    if ":" in name:
        return import_path(name)(config), rate
    transform = optimizer.optimizer(
        name.lower(),
        rate,
        b1=float(get(config, "optim.beta1")),
        b2=float(get(config, "optim.beta2", 0.999)),
        eps=float(get(config, "optim.eps")),
        weight_decay=float(get(config, "optim.weight_decay")),
        clip=float(get(config, "optim.grad_clip")),
    )
    pattern = get(config, "optim.frozen", None)
    return (transform if pattern is None else optimizer.frozen(transform, pattern)), rate


def build_averages(config: ConfigDict) -> dict[str, Decay]:
    """The average "ema", and "ema_WIDTH" for each relative width of config.model.ema_power."""
    decays = {
        "ema": averages.constant(float(get(config, "model.ema_rate")), warmup=get(config, "model.ema_warmup", True))
    }
    return decays | {f"ema_{width:g}": averages.power(width) for width in get(config, "model.ema_power", ())}


def build_parallel(config: ConfigDict) -> Parallel:
    """The strategy, over all devices."""
    rules = get(config, "parallel.rules", ())
    if isinstance(rules, str):
        rules = choose(config, "parallel.rules", {"fsdp": FSDP})
    layouts = tuple((pattern, tuple(layout) if isinstance(layout, list) else layout) for pattern, layout in rules)
    return Parallel(get(config, "parallel.strategy", "mesh"), layouts)


def build_hooks(config: ConfigDict) -> list[tuple[int, Callable[..., Any]]]:
    """(every, function) pairs; the functions are called with the state and the run."""
    return [(int(every), import_path(path)) for every, path in get(config, "training.hooks", ())]


def _per_example(config: ConfigDict, axis_name: str | None) -> Callable[..., jax.Array]:
    own = get(config, "training.loss", None)
    if own is not None:
        return import_path(own)
    reduce: Any = "mean" if get(config, "training.reduce_mean") else "half_sum"
    if not get(config, "training.continuous"):
        return lambda *arguments: losses.discrete(*arguments, reduce=reduce)
    weighting, times = _weighting(config), _times(config, axis_name)
    return lambda *arguments: losses.denoising(*arguments, weighting=weighting, times=times, reduce=reduce)


def _weighting(config: ConfigDict) -> losses.weightings.Weighting:
    named = {
        "score_matching": losses.score_matching,
        "likelihood": losses.likelihood,
        "min_snr": losses.min_snr(),
        "truncated_snr": losses.truncated_snr,
        "edm": losses.edm(float(get(config, "model.sigma_data", 0.5))),
    }
    path = get(config, "training.weighting", None)
    if path is None:
        return named["likelihood" if get(config, "training.likelihood_weighting", False) else "score_matching"]
    return import_path(path) if ":" in path else choose(config, "training.weighting", named)


def _times(config: ConfigDict, axis_name: str | None) -> losses.Times:
    named = {
        "uniform": losses.Uniform(),
        "log_snr": losses.LogSNRUniform(),
        "log_normal": losses.LogNormal(),
        "logit_normal": losses.LogitNormal(),
    }
    path = get(config, "training.times", "uniform")
    times = import_path(path)() if ":" in path else choose(config, "training.times", named, "uniform")
    return losses.Stratified(times, axis_name) if get(config, "training.stratified", False) else times
