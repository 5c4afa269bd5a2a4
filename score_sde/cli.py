"""Train, evaluate and sample. main.py calls ``main`` and nothing else.

usage: python main.py --config=FILE --workdir=DIR [--mode=train|eval|sample] [--config.SECTION.FIELD=VALUE ...]

  python main.py --config=configs/quickstart.py --workdir=runs/quickstart
  python main.py --config=configs/quickstart.py --workdir=runs/wide --config.model.nf=64 --config.optim.lr=1e-3
  python main.py --workdir=runs/quickstart --mode=sample --num_samples=100 --config.sampling.method=heun

  score_sde data show digits          (or python -m score_sde data ...): what a source holds
  score_sde data prepare cifar10      fetches and converts a set of TensorFlow Datasets

--config takes our config files and those of yang-song/score_sde, unchanged. For eval and sample it may be left out: the
workdir has its own. The fields are in score_sde/config/fields.py, and after a start in WORKDIR/config.json.

Exit codes: 0 done; 1 an error, told in a paragraph (--traceback tells more); 75 ended by a signal after saving (start
the same command again to go on).
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict

from score_sde.config.fields import check, complete, override
from score_sde.data import commands
from score_sde.data.contact_sheet import contact_sheet

MODES = ("train", "eval", "sample")
INTERRUPTED = 75  # EX_TEMPFAIL: try again

flags.DEFINE_string(
    "config", None, "A config file; the workdir's own unless given. --config.SECTION.FIELD=VALUE changes a field of it."
)
flags.DEFINE_string("workdir", None, "The folder of the run: checkpoints, metrics, samples, reports.")
flags.DEFINE_enum("mode", "train", MODES, "What to do.")
flags.DEFINE_string("eval_folder", "eval", "Folder in the workdir for the results of --mode=eval and --mode=sample.")
flags.DEFINE_integer("num_samples", None, "For --mode=sample: how many; config.eval.num_samples unless given.")
flags.DEFINE_bool("replace_config", False, "Go on in a workdir that belongs to a run with another config.")
flags.DEFINE_bool("distributed", False, "Join the other hosts with jax.distributed.initialize().")
flags.DEFINE_string("compilation_cache", "~/.cache/score_sde/jax", 'Where compiled programs are kept; "" for nowhere.')
flags.DEFINE_bool("traceback", False, "Show where an error came from.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with its exit code."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    words = list(sys.argv if arguments is None else arguments)
    if words[1:2] == ["data"]:
        sys.exit(_data(words[2:]))
    overrides, rest = _split(words)
    if {"--help", "-help", "-h"} & set(rest):
        print(f"{__doc__}{flags.FLAGS.module_help(sys.modules[__name__])}")
        sys.exit(0)
    app.run(lambda arguments: _guarded(arguments, overrides), rest)


def _data(words: list[str]) -> int:
    """``score_sde data show|prepare``; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="score_sde data", description=commands.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands.add_commands(parser.add_subparsers(required=True, metavar="command"), contact_sheet)
    options = vars(parser.parse_args(words))
    try:
        options.pop("run")(**options)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _split(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """--config.FIELD=VALUE (or without =VALUE: True) apart from the rest."""
    overrides, rest = {}, []
    for argument in arguments:
        if argument.startswith("--config."):
            path, equals, value = argument.removeprefix("--config.").partition("=")
            overrides[path] = value if equals else "True"
        else:
            rest.append(argument)
    return overrides, rest


def _read(options: flags.FlagValues, overrides: dict[str, str]) -> ConfigDict:
    """The config of --config, or else of the workdir, with every default, and what the command line says."""
    from score_sde.config.files import read

    file = options.config
    if file is None and (Path(options.workdir) / "config.json").exists():
        file = Path(options.workdir) / "config.json"
    if file is None:
        raise ValueError("give --config=FILE, such as --config=configs/quickstart.py")
    config = complete(read(file))
    for path, text in overrides.items():
        override(config, path, text)
    check(config)
    return config


def _guarded(arguments: Sequence[str], overrides: dict[str, str]) -> None:
    options = flags.FLAGS
    logging.set_verbosity(logging.WARNING)  # Orbax has much to tell
    try:
        if len(arguments) > 1:
            raise ValueError(f"{arguments[1]!r} is no option; options begin with --, see --help")
        code = _run(options, overrides)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        if options.traceback:
            raise
        sys.exit(f"error: {error}")
    sys.exit(code)


def _run(options: flags.FlagValues, overrides: dict[str, str]) -> int:
    if options.workdir is None:
        raise ValueError("give --workdir=DIR, the folder of the run")
    config = _read(options, overrides)
    _set_up_jax(options)
    import jax

    from score_sde import workdir as layout

    workdir = Path(options.workdir)
    if options.mode == "train":
        from score_sde.training.loop import train

        if jax.process_index() == 0:
            layout.prepare(workdir, config, replace_config=options.replace_config)
        result = train(config, workdir)
        if jax.process_index() == 0:
            step = int(result.state.step)
            print(f"{'stopped' if result.interrupted else 'done'} at step {step}; everything is in {workdir}")
        return INTERRUPTED if result.interrupted else 0
    from score_sde import evaluation

    if options.mode == "eval":
        evaluation.evaluate(config, workdir, options.eval_folder)
    else:
        evaluation.sample(config, workdir, options.eval_folder, options.num_samples or config.eval.num_samples)
    return 0


def _set_up_jax(options: flags.FlagValues) -> None:
    import jax

    if options.compilation_cache and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(options.compilation_cache))
    if options.distributed:
        jax.distributed.initialize()
