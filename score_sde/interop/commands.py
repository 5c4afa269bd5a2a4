"""``score_sde convert`` and ``score_sde export``: from models of other code bases to workdirs, and back."""

from pathlib import Path
from typing import Any

from score_sde.experiment import experiment_of, load, save
from score_sde.interop import files
from score_sde.interop.export import export
from score_sde.interop.models import model_with
from score_sde.interop.score_sde.translate import read_config


def add_commands(commands: Any) -> None:
    """Add both commands to the subparsers of a program."""
    command = commands.add_parser(
        "convert", help="a .pth or .pt file of another code base -> a workdir that ss.load opens"
    )
    command.add_argument(
        "checkpoint", type=Path, help="a file of score_sde_pytorch, NCSN, guided- or improved-diffusion"
    )
    command.add_argument(
        "--config", type=Path, help="the config of that model, ours or the original's; without: what it is"
    )
    command.add_argument("--out", type=Path, help="the workdir to make, such as runs/cifar10")
    command.set_defaults(run=convert)
    command = commands.add_parser("export", help="a workdir -> a state dict in the original's names")
    command.add_argument("workdir", type=Path, help="a workdir of a model that the original knows")
    command.add_argument("file", type=Path, help="FILE.npz, FILE.safetensors, or FILE.pth")
    command.add_argument("--step", type=int, default=None, help="which checkpoint; the newest unless given")
    command.add_argument("--weights", choices=("ema", "raw"), default="ema", help="which weights; ema unless given")
    command.set_defaults(run=export_run)


def convert(checkpoint: Path, config: Path | None, out: Path | None) -> None:
    """Say what a file is, and with a config convert it to a workdir with all its weights."""
    foreign = files.opened(checkpoint)
    print(f"{checkpoint} is {foreign.about()}")
    if config is None or out is None:
        print("To convert it, give --config=FILE, of this model, and --out=WORKDIR; see configs/ for examples")
        return
    experiment = experiment_of(read_config(config))
    models = {name: model_with(experiment, state) for name, state in foreign.states.items()}
    save(out, experiment, foreign.step, models)
    print(f"{out}: step {foreign.step}, weights {' and '.join(models)}. Use it with")
    which = "" if "ema" in models else f', weights="{next(iter(models))}"'
    print(f'    import score_sde as ss; run = ss.load("{out}"{which}); run.sample(jax.random.key(0), 16).x')


def export_run(workdir: Path, file: Path, step: int | None, weights: str) -> None:
    """Export the weights of a workdir under the original's names."""
    run = load(workdir, step=step, weights=weights)
    print(f"{export(run, file)}: weights {run.weights} of step {run.step}")
