"""The optimiser: optax's, after clipping, with a schedule that begins with a warm-up."""

import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from score_sde.checks import require

Schedule: TypeAlias = Callable[[Array], Float[Array, ""]]
Decay: TypeAlias = Literal["constant", "cosine", "sqrt"]


def schedule(lr: float, warmup: int = 0, *, decay: Decay = "constant", steps: int | None = None) -> Schedule:
    """The rate lr · min(k/warmup, 1) at step k = 0, 1, ..., which begins with 0 as the original's; then

    "constant"   as it is;      "cosine"   to 0 at ``steps``, half a wave;
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


# Rules: functions of the rate. A function that is added here can be named in a config.


def adam(rate: Schedule, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015)."""
    return optax.adam(rate, b1=b1, b2=b2, eps=eps)


def adamw(
    rate: Schedule, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, weight_decay: float = 1e-2
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return optax.adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)


def lion(rate: Schedule, *, b1: float = 0.9, b2: float = 0.99) -> optax.GradientTransformation:
    """Lion: the sign of a mean of gradients (Chen et al. 2023)."""
    return optax.lion(rate, b1=b1, b2=b2)


def sgd(rate: Schedule, *, momentum: float | None = None, nesterov: bool = False) -> optax.GradientTransformation:
    """Gradient descent, with momentum where given."""
    return optax.sgd(rate, momentum=momentum, nesterov=nesterov)


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

    rule      a function of the rate that returns an optax transformation: one of this file, or yours
    clip      the largest global norm of the gradient; None: no clipping
    l2        adds ``l2`` times the parameters to the clipped gradient, as PyTorch's Adam does for its weight decay
    frozen    a regular expression: parameters whose name contains it stay as they are
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
    """Another optimiser for each group: ``label`` tells the group of a parameter by its name.

    The group "frozen" is there without being given: its parameters stay as they are.
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
    """The optimiser for all parameters but those whose name contains the regular expression, which stay as they are."""
    search = re.compile(pattern).search
    return grouped({"trained": transform}, lambda name: "frozen" if search(name) else "trained")


def alternate(
    transforms: Mapping[str, optax.GradientTransformation],
    label: Callable[[str], str],
    turns: Mapping[str, Callable[[Array], Array]],
) -> optax.GradientTransformationExtraArgs:
    """One optimiser for each group of parameters, each at its turn: group g is updated where ``turns[g](step)``.

    Out of turn neither its parameters nor its optimiser's state change. ``label``: the group of a parameter by its name;
    see ``turn`` for five updates of one to one of the other. The step must be passed to ``update`` as ``step``, which
    ``training.make_train_step`` does.
    """
    missing = sorted(set(transforms) ^ set(turns))
    require(not missing, f"transforms and turns name different groups: {', '.join(missing)}")
    return optax.with_extra_args_support(
        grouped({name: _in_turn(transform, turns[name]) for name, transform in transforms.items()}, label)
    )


def turn(k: int, of: int) -> Callable[[Array], Array]:
    """Whether it is the turn of the last ``k`` of every ``of`` steps, negative k: of all but the last ``-k``.

    turn(1, of=6) and turn(-1, of=6) alternate five steps of the second with one of the first.
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
