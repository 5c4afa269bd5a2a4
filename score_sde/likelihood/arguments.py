"""The arguments of a density, checked, and the warning about samples whose flow failed."""

import warnings
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from score_sde.checks import is_concrete, require, some_of
from score_sde.denoiser import Denoiser, check_condition
from score_sde.likelihood.adams import Adams


def checked(model, x, condition, rtol, atol, steps, max_steps, solver) -> Array:
    x = jnp.asarray(x)
    require(
        jnp.issubdtype(x.dtype, jnp.floating),
        f"x has dtype {x.dtype}, but a density is over floats in model space; for images as integers use "
        "ss.likelihood.of_data(model, images, key, scaling), or scale and dequantise them first",
    )
    require(x.ndim >= 2 and x.size > 0, f"x has shape {x.shape}; give (n, *shape) with at least one sample")
    if is_concrete(x):
        bad = np.flatnonzero(~np.isfinite(np.asarray(x)).reshape(len(x), -1).all(axis=1))
        require(
            not len(bad), f"x is not finite in {len(bad)} of {len(x)} samples, the first of them x[{bad[:1].sum()}]"
        )
    check_condition(condition, x)
    for name, value in (("rtol", rtol), ("atol", atol)):
        require(not is_concrete(value) or bool(np.asarray(value) > 0), f"{name} = {value}; it must be positive")
    require(steps in ("each", "joint"), f'steps = {steps!r}; allowed: "each", "joint"')
    require(max_steps >= 1, f"max_steps = {max_steps}; it must be at least 1")
    require(
        isinstance(solver, diffrax.AbstractERK | Adams),
        f"solver = {solver!r}; give ss.likelihood.Adams(), or one of diffrax's explicit Runge-Kutta methods with an "
        "error estimate, such as diffrax.Dopri5()",
    )
    return x


def given_probes(probes: int | ArrayLike, x: Array) -> tuple[int, Array | None]:
    if isinstance(probes, int | np.integer):
        return int(probes), None
    wanted = x.shape
    require(
        jnp.ndim(probes) == x.ndim + 1 and jnp.shape(probes)[1:] == wanted,
        f"probes has shape {jnp.shape(probes)}; give their number, or an array (probes, *{wanted})",
    )
    return len(jnp.asarray(probes)), jnp.moveaxis(jnp.asarray(probes, x.dtype), 0, 1)


def ends_of(model: Denoiser, t_min: Any, t_max: Any, dtype: Any) -> tuple[Array, Array]:
    sde = model.sde
    first, last = (sde.t_min if t_min is None else t_min), (sde.t_max if t_max is None else t_max)
    if is_concrete(first) and is_concrete(last):
        require(
            0 <= float(first) < float(last) <= sde.t_max,
            f"t_min = {first}, t_max = {last}; allowed: 0 <= t_min < t_max <= {sde.t_max}, the SDE's",
        )
        with jax.ensure_compile_time_eval():
            vanishes = bool(sde.alpha(last) == 0)
        require(
            model.defined_without_signal or not vanishes,
            f"alpha is 0 at t_max = {last} of {type(sde).__name__}, where a model that predicts the noise or the score "
            f"has no posterior mean; give t_max = {sde.t_max_sampling}, its t_max_sampling",
        )
    return jnp.asarray(first, dtype), jnp.asarray(last, dtype)


def warn_of_failures(failed_at: Array, reached: Array, index: Array) -> None:
    if not is_concrete(failed_at):
        return
    bad = np.flatnonzero(np.asarray(failed_at) >= 0)
    if len(bad):
        some = some_of([f"sample {index[i]} at t = {reached[i]:.3g} after {failed_at[i]} steps" for i in bad], 5)
        warnings.warn(
            f"the flow of {len(bad)} of {len(failed_at)} samples was given up: {some}. Their entries are NaN and "
            "failed_at says which; take a looser tolerance or more max_steps, or look at the model's output there",
            RuntimeWarning,
            stacklevel=4,
        )
