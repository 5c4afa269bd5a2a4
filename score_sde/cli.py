"""Train, evaluate, sample and restore; look at data; take models over. main.py and the command ``score_sde`` call ``main``.

usage: score_sde train  --config=FILE --workdir=DIR [--config.SECTION.FIELD=VALUE ...]
       score_sde eval   --workdir=DIR [--eval_folder=NAME] [--config.SECTION.FIELD=VALUE ...]
       score_sde sample --workdir=DIR [--num_samples=N] [--prompts=FILE]
       score_sde edit --workdir=DIR --images=PICTURE [--strength=S] [--mask=PICTURE] [--prompts=FILE]
       score_sde restore --workdir=DIR [--images=FOLDER] --config.restore.operator=NAME --config.restore.std=STD
       score_sde data show|prepare ...
       score_sde compare IMAGES REFERENCE | statistics IMAGES --out=FILE | weights NAME FILE
       score_sde convert|export ...
       python main.py --config=FILE --workdir=DIR [--mode=train|eval|sample|restore|edit] [--config.SECTION.FIELD=VALUE ...]

  score_sde train --config=configs/quickstart.py --workdir=runs/quickstart
  score_sde train --config=configs/quickstart.py --workdir=runs/wide --config.network.nf=64 --config.optim.lr=1e-3
  score_sde train --config=configs/images.py --config.data.path=FOLDER --workdir=runs/mine
  score_sde sample --workdir=runs/quickstart --num_samples=100 --config.sampler=heun
  score_sde sample --workdir=runs/shapes --prompts="a small red circle at the top left"
  score_sde edit --workdir=runs/shapes --images=mine.png --strength=0.6 --prompts="a large blue square"
  score_sde restore --workdir=runs/quickstart --config.restore.operator=half_mask --config.restore.std=0.1

--config takes our config files and those of yang-song/score_sde, unchanged. For eval and sample it may be left out: the
workdir has its own. With --config=FILE, --help also lists the fields of that config's parts with their values.

Exit codes: 0 done; 1 an error, told in a paragraph (--traceback tells more); 75 ended by a signal after saving (start
the same command again to go on).
"""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict

from score_sde import config as configs
from score_sde import experiment
from score_sde.data import commands as data_commands
from score_sde.data.contact_sheet import contact_sheet
from score_sde.evaluation import commands as evaluation_commands
from score_sde.interop import commands as interop_commands
from score_sde.interop import read_config

MODES = ("train", "eval", "sample", "restore", "edit")
INTERRUPTED = 75  # EX_TEMPFAIL: try again

flags.DEFINE_string(
    "config", None, "A config file; the workdir's own unless given. --config.SECTION.FIELD=VALUE changes a field of it."
)
flags.DEFINE_string("workdir", None, "The folder of the run: checkpoints, metrics, samples, reports.")
flags.DEFINE_enum("mode", "train", MODES, "What to do.")
flags.DEFINE_string(
    "eval_folder",
    None,
    'Folder in the workdir for the results; "eval", and for --mode=restore "restore", unless given.',
)
flags.DEFINE_integer("num_samples", None, "For --mode=sample: how many; config.evaluation.samples unless given.")
flags.DEFINE_string(
    "images",
    None,
    "For --mode=restore and edit: a picture, folder, file or source; the split of config.evaluation for restore.",
)
flags.DEFINE_string("prompts", None, "For --mode=sample and edit: a file with one caption a line, or one caption.")
flags.DEFINE_float("strength", None, "For --mode=edit: above 0, which changes little, to 1, which keeps nothing.")
flags.DEFINE_string(
    "mask", None, "For --mode=edit: a picture, white where it is to be painted, or box:SIZE, or outside:SIZE."
)
flags.DEFINE_integer("label", None, "For --mode=edit: the class to change pictures to.")
flags.DEFINE_bool("replace_config", False, "Go on in a workdir that belongs to a run with another config.")
flags.DEFINE_bool("distributed", False, "Join the other hosts with jax.distributed.initialize().")
flags.DEFINE_string("compilation_cache", "~/.cache/score_sde/jax", 'Where compiled programs are kept; "" for nowhere.')
flags.DEFINE_bool("traceback", False, "Show where an error came from.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    program, *words = sys.argv if arguments is None else arguments
    if words and words[0] in ("data", "compare", "statistics", "weights", "convert", "export"):
        sys.exit(_tools(words))
    if words and words[0] in MODES:
        words = [f"--mode={words[0]}", *words[1:]]
    overrides, rest = _split(words)
    if {"--help", "-help", "-h"} & set(rest):
        _help(rest, overrides)
    more = app.parse_flags_with_usage([program, *rest])[1:]
    options = flags.FLAGS
    logging.set_verbosity(logging.WARNING)  # Orbax logs a lot
    with _errors_in_one_paragraph(options.traceback):
        if more:
            raise ValueError(f"{more[0]!r} is no option; options begin with --, see --help")
        if options.workdir is None:
            raise ValueError("give --workdir=DIR, the folder of the run")
        workdir = Path(options.workdir)
        config = _read(options.config, workdir, overrides)
        _set_up_jax(options)
        if options.mode == "train":
            run = experiment.train(config, workdir, replace_config=options.replace_config)
            sys.exit(_how_it_ended(run))
        if options.mode == "restore":
            experiment.restore(config, workdir, options.images, options.eval_folder or "restore")
        elif options.mode == "eval":
            experiment.evaluate(config, workdir, options.eval_folder or "eval")
        elif options.mode == "edit":
            _edit(config, workdir, options)
        else:
            prompts = _prompts(options.prompts)
            experiment.sample(config, workdir, options.eval_folder or "eval", options.num_samples, prompts)


def _edit(config: ConfigDict, workdir: Path, options: flags.FlagValues) -> None:
    if options.images is None:
        raise ValueError("give --images=PICTURE, what is to be edited: a picture, a folder or a source")
    experiment.edit(
        config,
        workdir,
        options.images,
        strength=options.strength,
        mask=options.mask,
        prompts=_prompts(options.prompts),
        label=options.label,
        n=options.num_samples,
        folder=options.eval_folder or "edit",
    )


def _prompts(given: str | None) -> list[str]:
    """The lines of a file that are not empty, or the one caption itself."""
    if given is None:
        return []
    if not os.path.isfile(given):  # also of what is too long for a path
        if given.endswith(".txt"):
            raise ValueError(
                f"--prompts={given}: there is no such file; give a file with one caption a line, or a caption"
            )
        return [given]
    lines = [line.strip() for line in Path(given).read_text().splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"--prompts={given}: the file has no captions; write one a line")
    return lines


@contextlib.contextmanager
def _errors_in_one_paragraph(traceback: bool) -> Iterator[None]:
    """An error ends the process with its message, without a traceback unless asked for."""
    try:
        yield
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        if traceback:
            raise
        sys.exit(f"error: {error}")


def _how_it_ended(run: experiment.Run) -> int:
    finished = run.step >= run.config.training.steps
    if jax.process_index() == 0:
        print(f"{'done' if finished else 'stopped'} at step {run.step}; everything is in {run.workdir}")
    return 0 if finished else INTERRUPTED


def _split(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split off --config.FIELD=VALUE (True without =VALUE) arguments."""
    overrides, rest = {}, []
    for argument in arguments:
        if argument.startswith("--config."):
            path, equals, value = argument.removeprefix("--config.").partition("=")
            overrides[path] = value if equals else "True"
        else:
            rest.append(argument)
    return overrides, rest


def _read(file: str | None, workdir: Path | None, overrides: dict[str, str]) -> ConfigDict:
    """The config of --config, or else of the workdir, with the overrides of the command line."""
    if file is None and workdir is not None and (workdir / "config.json").exists():
        config = experiment.read_config(workdir)
    elif file is None:
        raise ValueError("give --config=FILE, such as --config=configs/quickstart.py")
    else:
        config = read_config(file)
    sections: dict[str, Any] = config.to_dict()
    for path, text in overrides.items():
        sections = configs.override(sections, path, text)
    return ConfigDict(sections)


def _set_up_jax(options: flags.FlagValues) -> None:
    if options.compilation_cache and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(options.compilation_cache))
    if options.distributed:
        jax.distributed.initialize()


def _help(words: list[str], overrides: dict[str, str]) -> None:
    """Print the help and, with --config=FILE, the fields of that config."""
    print(f"{__doc__}{flags.FLAGS.module_help(sys.modules[__name__])}")
    file = next((word.partition("=")[2] for word in words if word.startswith("--config=")), None)
    try:
        if file is not None:
            print(
                f"\nThe fields of {file}:\n\n{configs.help_text(configs.checked(_read(file, None, overrides).to_dict()))}"
            )
    except ValueError as error:
        sys.exit(f"error: {error}")
    sys.exit(0)


def _tools(words: list[str]) -> int:
    """Run one of the other commands."""
    parser = argparse.ArgumentParser(
        prog="score_sde", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    data = commands.add_parser("data", help="look at data, prepare a set of TensorFlow Datasets")
    data_commands.add_commands(data.add_subparsers(required=True, metavar="command"), contact_sheet)
    evaluation_commands.add_commands(commands)
    interop_commands.add_commands(commands)
    options = vars(parser.parse_args(words))
    try:
        options.pop("run")(**options)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
