"""Translate the original's config schema of 2021 to ours. Values hard-coded in the original become fields."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from score_sde.config import files
from score_sde.interop.score_sde.config_files import is_original_file, run_config_file
from score_sde.interop.score_sde.originals import REFINENETS, completed

MARKS = ("model", "sampling", "eval")
"""Sections that the original's schema has and ours does not."""
DATASETS = ("cifar10", "svhn", "celeba", "lsun", "celebahq")
RESIZED = ("celeba", "celebahq", "lsun")

FFHQ = "data/ffhq"
"""The default folder of its images; --config.data.path=FOLDER sets another."""


def read_config(path_or_config: str | Path | ConfigDict) -> ConfigDict:
    """A config in our schema, from a file or a ConfigDict in our schema or the original's.

    The original's config files import ``torch`` or their defaults, and its configs have a section ``model``,
    ``sampling`` or ``eval``; ours have neither.
    """
    if isinstance(path_or_config, ConfigDict):
        config = path_or_config
    elif is_original_file(Path(path_or_config)):
        config = run_config_file(path_or_config)
    else:
        config = files.read(path_or_config)
    return translate(config) if is_original(config) else config


def is_original(config: Mapping[str, Any] | ConfigDict) -> bool:
    """Whether a config is in the original's schema; a ValueError if it mixes both."""
    theirs = [name for name in MARKS if name in config]
    ours = [name for name in ("network", "sde", "denoiser", "sampler", "evaluation") if name in config]
    if theirs and ours:
        raise ValueError(
            f"config.{theirs[0]} belongs to the schema of yang-song/score_sde, config.{ours[0]} to ours; use one of them"
        )
    return bool(theirs)


def translate(original: ConfigDict) -> ConfigDict:
    """Translate a config to our schema."""
    config = completed(original)
    process = _choose(config, "training.sde", {"vesde": "ve", "vpsde": "vp", "subvpsde": "sub_vp"})
    parts = {
        "seed": config.seed,
        **_data(config),
        "sde": _sde(config, process),
        "network": _network(config),
        **_model_and_loss(config, process),
        **_training(config),
        "sampler": _sampler(config, process),
        "evaluation": {"batch_size": config.eval.batch_size, "samples": config.eval.num_samples},
    }
    if config.eval.enable_bpd:
        parts["measures"] = {"held_out_loss": {}, "loss_per_level": {}, "bits_per_dim": {}}
    return ConfigDict(parts)


def _data(config: ConfigDict) -> dict[str, Any]:
    data = config.data
    name = data.dataset.lower().replace("-", "")
    if name == "ffhq":  # the original reads StyleGAN's TFRecords; we read the images they were made from
        source = {"name": "images", "path": FFHQ, "size": data.image_size}
    elif name in DATASETS:
        source = {"name": name, **({"size": data.image_size} if name in RESIZED else {})}
    else:
        source = {"name": data.dataset}
    if name == "lsun":
        source["category"] = data.get("category", "bedroom")
    return {
        "data": source,
        "example": {"shape": (data.image_size, data.image_size, data.num_channels), **_levels(name)},
        "batches": {"batch_size": config.training.batch_size, **({} if data.random_flip else {"flip": False})},
        "scaling": {"centered": data.centered, "dequantize": data.uniform_dequantization},
    }


def _levels(name: str) -> dict[str, int]:
    """The original's data are bytes; the digits included here have 17 levels."""
    return {"levels": 17 if name == "digits" else 256}


def _sde(config: ConfigDict, process: str) -> dict[str, Any]:
    model = config.model
    if process == "ve":
        scale = {"sigma_min": model.sigma_min, "sigma_max": model.sigma_max, "num_scales": model.num_scales}
    else:
        scale = {"beta_min": model.beta_min, "beta_max": model.beta_max}
        scale |= {"num_scales": model.num_scales} if process == "vp" else {}
    return {"name": process, **scale}


def _network(config: ConfigDict) -> dict[str, Any]:
    model, name = config.model, config.model.name.lower()
    if name in REFINENETS:
        return _refinenet(config, name)
    _choose(config, "model.normalization", {"groupnorm": None})
    fields = ["nf", "ch_mult", "num_res_blocks", "attn_resolutions", "dropout", "resamp_with_conv", "conditional"]
    fields += ["scale_by_sigma"]
    texts = ["nonlinearity"]
    if name == "ncsnpp":
        fields += ["fir", "fir_kernel", "skip_rescale", "fourier_scale", "init_scale"]
        texts += ["resblock_type", "progressive", "progressive_input", "progressive_combine", "embedding_type"]
    return {"name": name, **{key: model[key] for key in fields}, **{key: model[key].lower() for key in texts}}


def _refinenet(config: ConfigDict, name: str) -> dict[str, Any]:
    """NCSN never divides by σ in the PyTorch code, NCSNv2 always does."""
    _choose(config, "model.interpolation", {"bilinear": None})
    norms = {"instancenorm++": "instancenorm++", "variancenorm": "variancenorm"}
    model = config.model
    return {
        "name": name,
        "nf": model.nf,
        "nonlinearity": model.nonlinearity.lower(),
        "normalization": _choose(config, "model.normalization", norms),
        "scale_by_sigma": name != "ncsn",
    }


def _model_and_loss(config: ConfigDict, process: str) -> dict[str, Any]:
    """continuous   VE: the score, from σ(t).         Others: the noise, from 999 t.
    discrete     VE: the score, from the label.    VP: the noise, from the label; its standard deviation from a table.
    """
    training = config.training
    reduce = "mean" if training.reduce_mean else "half_sum"
    if not training.continuous:
        if process == "sub_vp":
            raise ValueError(
                "config.training.continuous = False with config.training.sde = 'subvpsde': only 'vpsde' and 'vesde' have "
                "a discrete chain to train on; set config.training.continuous = True"
            )
        chain = "smld_chain" if process == "ve" else "ddpm_chain"
        return {"denoiser": {"name": chain}, "loss": {"name": "discrete", "reduce": reduce}}
    told = {"predicts": "score", "noise_level": "sigma_level"} if process == "ve" else {}
    weighting = {"weighting": {"name": "likelihood"}} if training.likelihood_weighting else {}
    return {
        "denoiser": told or {"predicts": "noise", "noise_level": "scaled_time"},
        "loss": {"name": "denoising", "reduce": reduce, **weighting},
    }


def _training(config: ConfigDict) -> dict[str, Any]:
    training, optim = config.training, config.optim
    _choose(config, "optim.optimizer", {"adam": None})
    return {
        "training": {
            "steps": training.n_iters,
            "log_every": training.log_freq,
            "evaluate_every": training.eval_freq,
            "checkpoint_every": training.snapshot_freq_for_preemption,
            "snapshot_every": training.snapshot_freq,
        },
        "logging": {} if training.snapshot_sampling else {"preview": 0},
        "optim": {
            "lr": optim.lr,
            "warmup": optim.warmup,
            "clip": optim.grad_clip if optim.grad_clip >= 0 else None,
            "l2": optim.weight_decay,
            "rule": {"name": "adam", "b1": optim.beta1, "eps": optim.eps},
        },
        "averages": {"ema": {"rate": config.model.ema_rate}},
    }


def _sampler(config: ConfigDict, process: str) -> dict[str, Any]:
    """The sampler. The original hard-codes N steps of length 1/N from uniform times, and Langevin's batch norms."""
    sampling = config.sampling
    method = _choose(config, "sampling.method", {"pc": "pc", "ode": "ode"})
    if method == "ode":
        return {"name": "ode", "final": "denoise" if sampling.noise_removal else "none"}
    names = [sampling[part].lower() for part in ("predictor", "corrector")]
    if names == ["none", "ald"]:  # without a predictor, the original's result keeps its noise
        return {"name": "annealed_langevin", "steps": sampling.n_steps_each, "snr": sampling.snr, "final": "none"}
    flow = sampling.probability_flow
    predictors: dict[str, dict[str, Any] | None] = {
        "euler_maruyama": {"name": "euler_maruyama", "stochasticity": 0.0 if flow else 1.0},
        "reverse_diffusion": {"name": "reverse_diffusion", "probability_flow": flow},
        # Its ancestral step has variance β_k for VP and the posterior's for VE.
        "ancestral_sampling": {"name": "ancestral", "variance": "posterior" if process == "ve" else "forward"},
        "none": None,
    }
    steps = sampling.n_steps_each
    correctors: dict[str, dict[str, Any] | None] = {
        "langevin": {"name": "langevin", "snr": sampling.snr, "steps": steps, "norms": "batch"},
        "ald": {"name": "annealed_langevin", "snr": sampling.snr, "steps": steps},
        "none": None,
    }
    return {
        "name": "predictor_corrector",
        "steps": config.model.num_scales,
        "predictor": _choose(config, "sampling.predictor", predictors),
        "corrector": _choose(config, "sampling.corrector", correctors),
        "time_grid": "published",
        "final": "mean" if sampling.noise_removal else "none",
    }


def _choose(config: ConfigDict, path: str, allowed: Mapping[str, Any]) -> Any:
    """The value that the text at this path selects."""
    section, name = path.split(".")
    value = config[section][name]
    key = value.lower() if isinstance(value, str) else value
    if key not in allowed:
        raise ValueError(f"config.{path} = {value!r}; allowed: {', '.join(map(repr, allowed))}")
    return allowed[key]
