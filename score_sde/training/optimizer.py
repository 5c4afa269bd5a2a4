"""The optimiser: optax's, after clipping, with a schedule that begins with a warm-up."""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from score_sde.checks import require

Schedule: TypeAlias = Callable[[Array], Float[Array, ""]]


def schedule(lr: float, warmup: int = 0, *, decay: str = "constant", steps: int | None = None) -> Schedule:
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


def optimizer(
    name: str,
    rate: Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip: float = -1.0,
) -> optax.GradientTransformation:
    """Clipping by the global norm (``clip`` < 0: none), then an optimiser of optax by its name.

    "adam" adds ``weight_decay`` times the parameters to the gradient, as PyTorch's does and the original's; "adamw"
    keeps it apart. Any other name is looked up in optax and called with the rate alone.
    """
    steps = [optax.clip_by_global_norm(clip)] if clip >= 0 else []
    if name == "adam":
        steps += [optax.add_decayed_weights(weight_decay)] if weight_decay else []
        steps += [optax.adam(rate, b1=b1, b2=b2, eps=eps)]
    elif name == "adamw":
        steps += [optax.adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)]
    else:
        make = getattr(optax, name, None)
        require(callable(make), f"optimizer = {name!r}; allowed: 'adam', 'adamw', or another of optax, such as 'lion'")
        steps += [make(rate)]  # type: ignore[misc]
    return optax.chain(*steps)


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


def frozen(transform: optax.GradientTransformation, pattern: str) -> optax.GradientTransformation:
    """The optimiser for all parameters but those whose name contains the regular expression, which stay as they are."""
    search = re.compile(pattern).search
    return grouped({"trained": transform}, lambda name: "frozen" if search(name) else "trained")
