"""The optimiser: clipping, then an optax rule with a schedule that starts with a warm-up."""

import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.parameters import Arrays

Schedule: TypeAlias = Callable[[Array], Float[Array, ""]]
Decay: TypeAlias = Literal["constant", "cosine", "sqrt"]


def schedule(lr: float, warmup: int = 0, *, decay: Decay = "constant", steps: int | None = None) -> Schedule:
    """The rate lr · min(k/warmup, 1) at step k = 0, 1, ..., which starts at 0 as in the original; then

    "constant"   unchanged;     "cosine"   half a cosine wave to 0 at ``steps``;
    "sqrt"       lr · √(warmup/k) (Karras et al. 2024, eq. 67)
    """
    require(lr > 0, f"lr = {lr}; it must be positive")
    require(warmup >= 0, f"warmup = {warmup}; allowed: 0 or more steps")
    require(decay in ("constant", "cosine", "sqrt"), f'decay = {decay!r}; allowed: "constant", "cosine", "sqrt"')
    require(decay != "cosine" or steps is not None, 'decay = "cosine" needs steps, the length of the training')
    require(decay != "sqrt" or warmup > 0, 'decay = "sqrt" needs a warm-up, after which it sets in')

    def rate(k: Array) -> Float[Array, ""]:
        k = jnp.asarray(k, jnp.float32)
        factor = jnp.minimum(k / warmup, 1.0) if warmup else jnp.ones(())
        if decay == "sqrt":
            factor = factor * jnp.sqrt(warmup / jnp.maximum(k, warmup))
        if decay == "cosine":
            assert steps is not None
            share = jnp.clip((k - warmup) / max(steps - warmup, 1), 0.0, 1.0)
            factor = factor * 0.5 * (1 + jnp.cos(jnp.pi * share))
        return lr * factor

    return rate


# Rules: functions of the rate. A config can name any function added here.


def adam(rate: Schedule, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015)."""
    return optax.adam(rate, b1=b1, b2=b2, eps=eps)


def adamw(
    rate: Schedule, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, weight_decay: float = 1e-2
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return optax.adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)


def lion(rate: Schedule, *, b1: float = 0.9, b2: float = 0.99) -> optax.GradientTransformation:
    """Lion: the sign of an average of gradients (Chen et al. 2023)."""
    return optax.lion(rate, b1=b1, b2=b2)


def sgd(rate: Schedule, *, momentum: float | None = None, nesterov: bool = False) -> optax.GradientTransformation:
    """Gradient descent, optionally with momentum."""
    return optax.sgd(rate, momentum=momentum, nesterov=nesterov)


def muon(
    rate: Schedule, *, beta: float = 0.95, weight_decay: float = 0.0, adam: float = 1.0
) -> optax.GradientTransformation:
    """Orthogonalised momentum for kernels (Jordan 2024), with the updates' RMS of Adam (Liu et al. 2025).

    A kernel (..., in, out) is a matrix from all its inputs to its outputs. The rest gets Adam with Nesterov's momentum;
    ``adam`` is its rate over this one.
    """

    def matrices(parameters: Arrays) -> dict[str, optax.contrib.MuonDimensionNumbers | None]:
        return {name: _as_matrix(getattr(value, "ndim", 0)) for name, value in parameters.items()}  # optax masks some

    return optax.contrib.muon(
        rate,
        beta=beta,
        weight_decay=weight_decay,
        adam_learning_rate=lambda k: adam * rate(k),
        muon_weight_dimension_numbers=matrices,
        consistent_rms=0.2,
    )


def _as_matrix(ndim: int) -> optax.contrib.MuonDimensionNumbers | None:
    """The last axis of a kernel is its output, the others are its inputs."""
    return optax.contrib.MuonDimensionNumbers(tuple(range(ndim - 1)), (ndim - 1,)) if ndim > 1 else None


def schedule_free(
    rate: Schedule, *, b1: float = 0.9, b2: float = 0.999, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """AdamW without a decay of the rate (Defazio et al. 2024); use decay = "constant" with a warm-up.

    The parameters are y = (1 − b1) z + b1 x, close to the average x of the iterates z.
    """
    return optax.contrib.schedule_free(optax.adamw(rate, b1=0.0, b2=b2, weight_decay=weight_decay), rate, b1=b1)


def in_turns(
    rate: Schedule, *, slow: str, every: int = 6, b1: float = 0.0, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Two Adams: parameters with a match of ``slow`` in their name move in the last of ``every`` steps, the others in the
    rest. For two models that play against each other, as in ``tasks.DistributionMatching``.
    """
    search, players = (
        re.compile(slow).search,
        {name: optax.adam(rate, b1=b1, b2=b2, eps=eps) for name in ("slow", "fast")},
    )
    turns = {"slow": turn(1, of=every), "fast": turn(-1, of=every)}
    return alternate(players, lambda name: "slow" if search(name) else "fast", turns)


def optimizer(
    rule: Callable[[Schedule], optax.GradientTransformation] = adam,
    *,
    lr: float = 2e-4,
    warmup: int = 5000,
    decay: Decay = "constant",
    steps: int | None = None,
    clip: float | None = 1.0,
    l2: float = 0.0,
    frozen: str | None = None,
) -> tuple[optax.GradientTransformation, Schedule]:
    """(the optimiser, its learning rate): clipping by the global norm, then a rule with the scheduled rate.

    rule      a function of the rate that returns an optax transformation: one of this file, or your own
    clip      the largest global norm of the gradient; None: no clipping
    l2        adds ``l2`` times the parameters to the clipped gradient, as the weight decay of PyTorch's Adam does
    frozen    a regular expression: parameters with a match in their name are not updated
    """
    require(clip is None or clip > 0, f"clip = {clip}; allowed: above 0, or None for no clipping")
    require(l2 >= 0, f"l2 = {l2}; allowed: 0 or more")
    rate = schedule(lr, warmup, decay=decay, steps=steps)
    transforms = [optax.clip_by_global_norm(clip)] if clip is not None else []
    transforms += [optax.add_decayed_weights(l2)] if l2 else []
    transform = optax.chain(*transforms, rule(rate))
    return (transform if frozen is None else without(transform, frozen)), rate


def grouped(
    transforms: Mapping[str, optax.GradientTransformation], label: Callable[[str], str]
) -> optax.GradientTransformation:
    """A separate optimiser for each group; ``label`` maps the name of a parameter to its group.

    The group "frozen" always exists; its parameters are not updated.
    """
    groups = {"frozen": optax.set_to_zero(), **transforms}

    def labels(parameters: Mapping[str, jax.Array]) -> dict[str, str]:
        found = {name: label(name) for name in parameters}
        for name, group in found.items():
            require(
                group in groups, f"parameter {name} is in group {group!r}; there are {', '.join(map(repr, groups))}"
            )
        return found

    return optax.partition(groups, labels)


def without(transform: optax.GradientTransformation, pattern: str) -> optax.GradientTransformation:
    """The optimiser for all parameters except those whose name matches the regular expression (``re.search``)."""
    search = re.compile(pattern).search
    return grouped({"trained": transform}, lambda name: "frozen" if search(name) else "trained")


def alternate(
    transforms: Mapping[str, optax.GradientTransformation],
    label: Callable[[str], str],
    turns: Mapping[str, Callable[[Array], Array]],
) -> optax.GradientTransformationExtraArgs:
    """A separate optimiser for each group of parameters; group g is updated only in steps with ``turns[g](step)``.

    In other steps neither its parameters nor its optimiser's state change. ``label`` maps the name of a parameter to
    its group. See ``turn`` for a schedule of five updates to one. The step must be passed to ``update`` as ``step``,
    as ``training.make_train_step`` does.
    """
    missing = sorted(set(transforms) ^ set(turns))
    require(not missing, f"transforms and turns name different groups: {', '.join(missing)}")
    return optax.with_extra_args_support(
        grouped({name: _in_turn(transform, turns[name]) for name, transform in transforms.items()}, label)
    )


def turn(k: int, of: int) -> Callable[[Array], Array]:
    """A function that is true in the last ``k`` of every ``of`` steps; for k < 0, in all but the last ``-k``.

    With turn(1, of=6) and turn(-1, of=6), five steps of the second alternate with one of the first.
    """
    require(0 < abs(k) < of, f"turn({k}, of={of}); allowed: 0 < |k| < of")
    return (lambda step: step % of >= of - k) if k > 0 else (lambda step: step % of < of + k)


def _in_turn(
    transform: optax.GradientTransformation, active: Callable[[Array], Array]
) -> optax.GradientTransformationExtraArgs:
    transform = optax.with_extra_args_support(transform)

    def update(gradient, state, parameters=None, *, step: Array, **extra):
        updates, new = transform.update(gradient, state, parameters, step=step, **extra)
        on = active(step)
        updates = jax.tree.map(lambda a: jnp.where(on, a, jnp.zeros_like(a)), updates)
        return updates, jax.tree.map(lambda a, b: jnp.where(on, a, b), new, state)

    return optax.GradientTransformationExtraArgs(transform.init, update)
