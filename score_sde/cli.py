"""The command line: main.py calls ``main`` and nothing else.

    python main.py --config=configs/quickstart.py --workdir=runs/quickstart [--mode=train|eval|sample]
    python main.py --config=FILE --workdir=DIR --config.training.batch_size=64

``--config`` takes our config files and those of yang-song/score_sde, unchanged. For eval and sample it may be left out:
the workdir has its own.

Exit codes: 0 done; 1 an error, told in a paragraph (--traceback tells more); 75 ended by a signal after saving (start
the same command again to go on).
"""

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

MODES = ("train", "eval", "sample")
INTERRUPTED = 75  # EX_TEMPFAIL: try again

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
    arguments = list(sys.argv if arguments is None else arguments)
    show = "--traceback" in arguments
    try:
        rest = _define_config(arguments)
    except (ValueError, TypeError, OSError) as error:
        if show:
            raise
        sys.exit(f"error: {error}")
    app.run(_guarded, rest)


def _define_config(arguments: list[str]) -> list[str]:
    """Read --config=FILE, and make its fields flags of their own, --config.training.batch_size=64 and the like."""
    from score_sde.config import complete
    from score_sde.config.files import read

    values: dict[str, str | None] = {"config": None, "workdir": None}
    rest: list[str] = []
    waiting: str | None = None
    for argument in arguments:
        name, equals, value = argument.lstrip("-").partition("=")
        if waiting is not None:
            values[waiting], waiting = argument, None
            if name != "config":
                rest += [f"--workdir={argument}"] if values["workdir"] == argument else []
        elif argument.startswith("-") and name in values and not equals:
            waiting = name
        else:
            if argument.startswith("-") and name in values:
                values[name] = value
            if not (argument.startswith("-") and name == "config"):
                rest.append(argument)
    config: ConfigDict | None = None
    if values["config"] is not None:
        config = read(values["config"])
    elif values["workdir"] is not None and (Path(values["workdir"]) / "config.json").exists():
        config = read(Path(values["workdir"]) / "config.json")
    config_flags.DEFINE_config_dict("config", complete(config) if config is not None else ConfigDict(), sys_argv=rest)
    return rest


def _guarded(arguments: Sequence[str]) -> None:
    options = flags.FLAGS
    logging.set_verbosity(logging.WARNING)  # Orbax has much to tell
    try:
        if len(arguments) > 1:
            raise ValueError(f"{arguments[1]!r} is no option; options begin with --, see --help")
        code = _run(options)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        if options.traceback:
            raise
        sys.exit(f"error: {error}")
    sys.exit(code)


def _run(options: flags.FlagValues) -> int:
    from score_sde.config import check

    if options.workdir is None:
        raise ValueError("give --workdir=DIR, the folder of the run")
    if not options.config:
        raise ValueError("give --config=FILE, such as --config=configs/quickstart.py")
    check(options.config)
    config = ConfigDict(options.config.to_dict())
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
