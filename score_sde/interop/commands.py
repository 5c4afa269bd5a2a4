"""``score_sde convert`` and ``score_sde export``: from models of score_sde_pytorch to workdirs, and back."""

from pathlib import Path
from typing import Any

from score_sde.experiment import experiment_of, load, save
from score_sde.interop.score_sde import checkpoints
from score_sde.interop.score_sde.export import export
from score_sde.interop.score_sde.translate import read_config


def add_commands(commands: Any) -> None:
    """Add both commands to the subparsers of a program."""
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
    command.set_defaults(run=export_run)


def convert(checkpoint: Path, config: Path, out: Path) -> None:
    """Convert a checkpoint of the original to a workdir with its averaged and its last weights."""
    experiment = experiment_of(read_config(config))
    saved = checkpoints.read_checkpoint(checkpoint)
    state_dicts = {"ema": checkpoints.averaged(saved, checkpoint), "raw": saved["model"]}
    models = {name: checkpoints.model_of(experiment, state) for name, state in state_dicts.items()}
    step = int(saved["step"])
    save(out, experiment, step, models)
    print(f"{out}: step {step}, weights ema and raw. Use it with")
    print(f'    import score_sde as ss; run = ss.load("{out}"); run.sample(jax.random.key(0), 16).x')


def export_run(workdir: Path, file: Path, step: int | None, weights: str) -> None:
    """Export the weights of a workdir under the original's names."""
    run = load(workdir, step=step, weights=weights)
    print(f"{export(run, file)}: weights {run.weights} of step {run.step}")
