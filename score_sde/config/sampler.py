"""The sampler that config.sampling describes."""

import functools
from collections.abc import Callable
from typing import Literal

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
    if method not in ("pc", "ode"):
        choices = {name: getattr(samplers, name) for name in ("ddim", "heun", "dpm_solver", "unipc", "reverse_sde")}
        return functools.partial(choose(config, "sampling.method", choices), **options)
    removal = get(config, "sampling.noise_removal")
    if method == "ode":
        return functools.partial(samplers.ode, final="denoise" if removal else "none", **options)
    published = choose(config, "sampling.scheme", {"published": True, "even": False})
    final: Literal["mean", "denoise", "none"] = ("mean" if published else "denoise") if removal else "none"
    return functools.partial(
        samplers.predictor_corrector,
        steps=get(config, "model.num_scales"),
        predictor=_predictor(config),
        corrector=_corrector(config),
        time_grid=samplers.grids.published if published else None,
        final=final,
        **options,
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
