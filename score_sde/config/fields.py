"""Every field that a config may have: its kind, and its default if it is optional.

Most have the original's names and meaning. Fields without a default must be there where they have an effect: a network
asks for those that it reads.
"""

import ast
import contextlib
import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

REQUIRED = object()


class Field(NamedTuple):
    """``kinds``: the types of allowed values. An int passes for a float, and a list for a tuple."""

    kinds: tuple[type, ...]
    default: Any = REQUIRED


def _texts(*names: str) -> dict[str, Field]:
    return {name: Field((str,)) for name in names}


def _numbers(*names: str) -> dict[str, Field]:
    return {name: Field((float,)) for name in names}


def _whole(*names: str) -> dict[str, Field]:
    return {name: Field((int,)) for name in names}


def _switches(*names: str) -> dict[str, Field]:
    return {name: Field((bool,)) for name in names}


NONE = type(None)

FIELDS: dict[str, dict[str, Field]] = {
    "": {"seed": Field((int,), 42)},
    "data": {
        "dataset": Field((str,)),  # a name of ss.data.SOURCES in any case, or an import path
        "options": Field((dict,), {}),  # what the source takes besides: data_dir, crop, ...
        "image_size": Field((int, tuple)),
        "num_channels": Field((int,)),
        "shape": Field((int, tuple)),  # of points and vectors, instead of image_size and num_channels
        "category": Field((str,)),  # of LSUN
        "centered": Field((bool,)),  # model space is [-1, 1], else [0, 1]
        "random_flip": Field((bool,), True),  # where a mirrored example is as good as the example itself
        "uniform_dequantization": Field((bool,), False),
        "mean": Field((float, tuple), 0.0),  # of continuous data
        "std": Field((float, tuple), 1.0),
        "eval_split": Field((str,), "test"),
        "workers": Field((int,), 0),  # processes that read; 0: threads
    },
    "model": {
        **_texts("name", "nonlinearity", "normalization", "resblock_type", "progressive", "progressive_input"),
        **_texts("progressive_combine", "embedding_type"),
        **_numbers("sigma_min", "sigma_max", "beta_min", "beta_max", "dropout", "fourier_scale", "init_scale"),
        **_whole("num_scales", "nf", "num_res_blocks", "width", "depth"),
        **_switches("resamp_with_conv", "conditional", "fir", "skip_rescale", "scale_by_sigma"),
        **{name: Field((tuple,)) for name in ("ch_mult", "attn_resolutions", "fir_kernel")},
        "options": Field((dict,), {}),  # arguments of a network or an SDE that is named by import path
        "sde_options": Field((dict,), {}),
        "predicts": Field((str, NONE), None),  # None: the score (VE), or the noise
        "sigma_data": Field((float,), 0.5),  # for predicts = "edm"
        "num_classes": Field((int, NONE), None),
        "attention_heads": Field((int,), 1),
        "attention_implementation": Field((str, NONE), None),
        "spatial_dims": Field((int,), 2),
        "remat": Field((str,), "none"),  # "blocks", "full"
        "dtype": Field((str,), "float32"),  # of the computation; "bfloat16"
        "ema_rate": Field((float,), 0.9999),
        "ema_warmup": Field((bool,), True),  # min(rate, (1 + n)/(10 + n))
        "ema_power": Field((tuple,), ()),  # relative widths of further averages, such as (0.05, 0.1)
    },
    "training": {
        "sde": Field((str,)),
        "batch_size": Field((int,)),  # over all devices
        "n_iters": Field((int,)),
        "continuous": Field((bool,), True),
        "reduce_mean": Field((bool,), True),
        "likelihood_weighting": Field((bool,), False),
        "loss": Field((str, NONE), None),  # your own, by import path
        "weighting": Field((str, NONE), None),  # None: by likelihood_weighting
        "times": Field((str,), "uniform"),
        "stratified": Field((bool,), False),
        "label_dropout": Field((float,), 0.1),
        "steps_per_call": Field((int,), 1),
        "accumulate": Field((int,), 1),
        "log_freq": Field((int,), 50),
        "eval_freq": Field((int,), 100),
        "snapshot_freq": Field((int,), 50000),  # checkpoints that are kept, with pictures
        "snapshot_freq_for_preemption": Field((int,), 10000),  # checkpoints of which the newest is kept
        "snapshot_sampling": Field((bool,), True),
        "snapshot_samples": Field((int,), 64),
        "max_skipped": Field((int,), 20),  # steps in a row without a finite loss, after which training stops
        "hooks": Field((tuple,), ()),  # (every, "my_package:function") pairs
        "tensorboard": Field((bool,), True),
        "wandb": Field((str, NONE), None),  # a project's name
    },
    "parallel": {
        "strategy": Field((str,), "mesh"),
        "rules": Field((tuple, str), ()),  # (regex, layout) pairs, or "fsdp"
    },
    "optim": {
        "optimizer": Field((str,), "Adam"),
        "lr": Field((float,), 2e-4),
        "beta1": Field((float,), 0.9),
        "beta2": Field((float,), 0.999),
        "eps": Field((float,), 1e-8),
        "weight_decay": Field((float,), 0.0),
        "warmup": Field((int,), 5000),
        "decay": Field((str,), "constant"),
        "grad_clip": Field((float,), 1.0),
        "frozen": Field((str, NONE), None),  # a regular expression on names of parameters
    },
    "sampling": {
        "method": Field((str,), "pc"),
        "options": Field((dict,), {}),
        "scheme": Field((str,), "even"),
        "norms": Field((str,), "noise"),
        "predictor": Field((str,), "reverse_diffusion"),
        "corrector": Field((str,), "none"),
        "probability_flow": Field((bool,), False),
        "noise_removal": Field((bool,), True),
        "n_steps_each": Field((int,), 1),
        "snr": Field((float,), 0.16),
        "guidance": Field((float,), 1.0),  # scale of classifier-free guidance
        "guidance_interval": Field((tuple, NONE), None),  # in σ/α
    },
    "eval": {
        "begin_ckpt": Field((int,), 1),
        "end_ckpt": Field((int,), 26),
        "steps": Field((str, int, tuple), "newest"),  # "snapshots": number begin_ckpt to end_ckpt, as the original
        "weights": Field((str,), "ema"),
        "batch_size": Field((int,), 1024),
        "enable_sampling": Field((bool,), False),
        "num_samples": Field((int,), 50000),
        "enable_loss": Field((bool,), True),
        "enable_bpd": Field((bool,), False),
        "bpd_dataset": Field((str,), "test"),
        "bpd_repeats": Field((int,), 5),
        "bpd_options": Field((dict,), {}),  # of ss.log_likelihood: rtol, atol, divergence, ...
    },
}


def complete(config: ConfigDict) -> ConfigDict:
    """The config with every optional field that it does not have."""
    full = ConfigDict(config.to_dict(), convert_dict=True)
    for path, field in _paths():
        section, _, name = path.rpartition(".")
        if section and section not in full:
            full[section] = ConfigDict()
        where = full[section] if section else full
        if field.default is not REQUIRED and name not in where:
            where[name] = ConfigDict(field.default) if isinstance(field.default, dict) else field.default
    return full


def override(config: ConfigDict, path: str, text: str) -> None:
    """Set a field to what the text says, in the field's own type: "64", "1e-4", "True", "(1, 2)", "None"."""
    *sections, name = path.split(".")
    where = config
    for section in sections:
        if section not in where:
            where[section] = ConfigDict()  # if it is no section at all, ``check`` says so
        where = where[section]
    field = FIELDS.get(sections[0] if sections else "", {}).get(name) if len(sections) < 2 else None
    value: Any = text
    if field is None or field.kinds != (str,):
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    if field is not None and field.kinds == (float,) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    with where.ignore_type():
        where[name] = value


def check(config: ConfigDict) -> None:
    """A ValueError that lists every unknown field, with the nearest name, and every value of a wrong type."""
    problems = []
    for path, value in flat(config):
        section, _, name = path.partition(".")
        if not name:
            section, name = "", section
        if section not in FIELDS:
            known = [s for s in FIELDS if s] + list(FIELDS[""])
            problems.append(f"config.{section} is unknown{_near(section, known)}")
        elif (top := name.partition(".")[0]) not in FIELDS[section]:
            problems.append(f"config.{path} is unknown{_near(top, FIELDS[section], section)}")
        elif top == name and not _fits(value, FIELDS[section][name].kinds):
            kinds = " or ".join("None" if kind is NONE else kind.__name__ for kind in FIELDS[section][name].kinds)
            problems.append(f"config.{path} = {value!r}; it must be of type {kinds}")
    if problems:
        raise ValueError("the config cannot be used:\n  " + "\n  ".join(dict.fromkeys(problems)))


def differences(one: ConfigDict, other: ConfigDict) -> list[str]:
    """What differs between two configs, a line for each field."""
    mine, theirs, absent = dict(flat(one)), dict(flat(other)), "absent"
    return [
        f"config.{path}: {mine.get(path, absent)!r} there, {theirs.get(path, absent)!r} here"
        for path in sorted({*mine, *theirs})
        if _plain(mine.get(path, absent)) != _plain(theirs.get(path, absent))
    ]


def flat(config: Mapping[str, Any] | ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every field; sections and options are gone through, empty ones left out."""
    for name, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _paths() -> Iterator[tuple[str, Field]]:
    for section, fields in FIELDS.items():
        for name, field in fields.items():
            yield (f"{section}.{name}" if section else name), field


def _near(name: str, known: Any, section: str = "") -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean config.{section + '.' if section else ''}{near[0]}?" if near else ""


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, list):
        return tuple in kinds
    if isinstance(value, int) and float in kinds:
        return True
    return isinstance(value, kinds)


def _plain(value: Any) -> Any:
    """Lists for tuples, as JSON has them."""
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
