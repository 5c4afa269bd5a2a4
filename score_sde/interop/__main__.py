"""python -m score_sde.interop: models of score_sde_pytorch into workdirs, and back."""

import argparse
import sys
import warnings
from pathlib import Path

from flax import nnx

import score_sde as ss
from score_sde import run as runs
from score_sde.interop.score_sde_pytorch import averaged, from_score_sde_pytorch, read_checkpoint
from score_sde.interop.translate import read_config


def convert(arguments: argparse.Namespace) -> None:
    """A checkpoint of the original becomes a workdir with its averaged and its last weights."""
    config = read_config(arguments.config)
    checkpoint = read_checkpoint(arguments.checkpoint)
    networks: dict[str, nnx.Module] = {
        "ema": from_score_sde_pytorch(averaged(checkpoint, arguments.checkpoint), config).network,
        "raw": from_score_sde_pytorch(checkpoint["model"], config).network,
    }
    step = int(checkpoint["step"])
    runs.save(arguments.out, config, step, networks)
    print(f"{arguments.out}: step {step}, weights ema and raw. Use it with")
    print(f'    import score_sde as ss; run = ss.load("{arguments.out}"); run.sample(jax.random.key(0), 16).x')


def export(arguments: argparse.Namespace) -> None:
    """The weights of a workdir under the original's names."""
    run = ss.load(arguments.workdir, step=arguments.step, weights=arguments.weights)
    print(f"{ss.interop.export(run, arguments.file)}: weights {run.weights} of step {run.step}")


def main() -> int:
    """Run one command; an error is one paragraph, without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m score_sde.interop", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("convert", help="a .pth checkpoint -> a workdir that ss.load opens")
    command.add_argument("checkpoint", type=Path, help="checkpoint_K.pth as the original's trainer saved it")
    command.add_argument("--config", type=Path, required=True, help="the original config file of that model, as it is")
    command.add_argument("--out", type=Path, required=True, help="the workdir to make, such as runs/cifar10")
    command.set_defaults(run=convert)
    command = commands.add_parser("export", help="a workdir -> a state dict in the original's names")
    command.add_argument("workdir", type=Path, help="a workdir of a model that the original knows")
    command.add_argument("file", type=Path, help="FILE.npz, FILE.safetensors, or FILE.pth")
    command.add_argument("--step", type=int, default=None, help="which checkpoint; the newest unless given")
    command.add_argument("--weights", choices=("ema", "raw"), default="ema", help="which weights; ema unless given")
    command.set_defaults(run=export)
    arguments = parser.parse_args()
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
