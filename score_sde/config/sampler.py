"""The sampler that config.sampling describes."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from score_sde import samplers
from score_sde.config.access import choose, get, import_path


def build_sampler(config: ConfigDict) -> Callable[..., samplers.Samples]:
    """The sampler of config.sampling, as a function (model, key, n, shape, condition=…, …) -> Samples.

    "pc" and "ode" are the original's. With scheme = "published" predictor-corrector takes the original's steps (see
    ``samplers.grids.published``), otherwise ours. Any other sampler of ``ss.samplers`` can be named too, or one of
    yours by import path, with its arguments in config.sampling.options.
    """
    method = get(config, "sampling.method")
    options = dict(get(config, "sampling.options", {}))
    if ":" in method:
        return functools.partial(import_path(method), **options)
    named = {name: getattr(samplers, name) for name in ("ddim", "heun", "dpm_solver", "unipc", "reverse_sde")}
    sampler = choose(
        config, "sampling.method", {"pc": samplers.predictor_corrector, "ode": samplers.ode} | named, method
    )
    _check_options(method, sampler, options)
    removal = get(config, "sampling.noise_removal")
    given: dict[str, Any] = {}
    if method == "ode":
        given = {"final": "denoise" if removal else "none"}
    if method == "pc":
        published = choose(config, "sampling.scheme", {"published": True, "even": False})
        given = {
            "steps": get(config, "model.num_scales"),
            "predictor": _predictor(config),
            "corrector": _corrector(config),
            "time_grid": samplers.grids.published if published else None,
            "final": ("mean" if published else "denoise") if removal else "none",
        }
    return functools.partial(sampler, **(given | options))


def _check_options(method: str, sampler: Callable, options: dict) -> None:
    known = list(inspect.signature(sampler).parameters)[4:]  # after model, key, n, shape
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(
            f"config.sampling.options has {', '.join(unknown)}, but the sampler of sampling.method = {method!r} takes "
            f"{', '.join(known)}; --config.sampling.options={{}} empties it"
        )


def _predictor(config: ConfigDict) -> samplers.Predictor | None:
    flow = get(config, "sampling.probability_flow")
    # The original's ancestral step has variance β_k for VP and the posterior's for VE.
    variance = "posterior" if get(config, "training.sde").lower() == "vesde" else "forward"
    choices = {
        "euler_maruyama": samplers.EulerMaruyama(0.0 if flow else 1.0),
        "reverse_diffusion": samplers.ReverseDiffusion(probability_flow=flow),
        "ancestral_sampling": samplers.Ancestral(variance),  # type: ignore[arg-type]
        "none": None,
    }
    return choose(config, "sampling.predictor", choices)


def _corrector(config: ConfigDict) -> samplers.Corrector | None:
    snr, steps = get(config, "sampling.snr"), get(config, "sampling.n_steps_each")
    choices = {
        "langevin": samplers.Langevin(snr, steps, get(config, "sampling.norms")),
        "ald": samplers.AnnealedLangevin(snr, steps),
        "none": None,
    }
    return choose(config, "sampling.corrector", choices)
