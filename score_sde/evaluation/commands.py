"""Compare two sets of images made elsewhere, make the statistics of one, keep weights for features; without a config.

score_sde compare samples.zip photos/ --metrics=fd,kid,precision,recall
score_sde weights inception pt_inception-2015-12-05-6726825d.pth
score_sde compare samples.npz train.npz --features=inception
score_sde statistics photos/ --out=photos.npz
"""

import argparse
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from score_sde.checks import require
from score_sde.data.commands import open_any, parse_option
from score_sde.data.source import Source
from score_sde.evaluation import features as rooms
from score_sde.evaluation.comparison import DEFAULT, METRICS, check_metrics, compare
from score_sde.evaluation.features import Extractor
from score_sde.evaluation.features.weights import SOURCES, install
from score_sde.evaluation.references import statistics_of
from score_sde.evaluation.report import rows_of, used_columns
from score_sde.evaluation.statistics import KEEP, Statistics, is_statistics, read, write
from score_sde.files import written_whole
from score_sde.objects import import_object

KINDS = ("efficientnet_lite0", "inception", "dinov2", "pixels", "pca", "function")


def add_commands(commands: Any) -> None:
    """Add the commands to the subparsers of a program."""
    command = commands.add_parser(
        "compare",
        help="metrics of one set of images against another",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "images", help="the images to judge: a folder, .zip, .npz, .npy, a source, or statistics (FILE or FILE:ENTRY)"
    )
    command.add_argument("reference", help="what they should look like, in one of the same forms")
    command.add_argument("--metrics", default=",".join(DEFAULT), help=f"of {', '.join(METRICS)}")
    command.add_argument("--held_out", help="further real images: the floor of each metric")
    command.add_argument("--out", type=Path, help="a .json for the values")
    _common(command)
    command.set_defaults(run=compare_images)

    command = commands.add_parser("statistics", help="the moments and features of a set of images, as a file")
    command.add_argument("images", help="a folder, .zip, .npz, .npy, or a source such as cifar10")
    command.add_argument("--out", type=Path, required=True, help="the .npz to write")
    command.add_argument("--form", choices=("ours", "pytorch-fid"), default="ours", help="of the file")
    _common(command)
    command.set_defaults(run=make_statistics)

    command = commands.add_parser("weights", help="put the weights of a network for features into the cache")
    command.add_argument("name", choices=tuple(SOURCES), help="whose weights")
    command.add_argument("file", type=Path, help="the .pth or .safetensors that you have")
    command.set_defaults(run=install_weights)


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--split", default="train", help="of a source; folders and files are taken whole")
    command.add_argument("--features", default=KINDS[0], help=f"{', '.join(KINDS)}")
    command.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the features")
    command.add_argument(
        "--keep", type=int, default=KEEP, help="how many examples' features are kept, of a random subset"
    )
    command.add_argument("--batch_size", type=int, default=256, help="over all devices")
    command.add_argument(
        "--distributed", action="store_true", help="join the other hosts: jax.distributed.initialize()"
    )


def compare_images(
    images: str,
    reference: str,
    metrics: str | Sequence[str] = DEFAULT,
    held_out: str | None = None,
    out: Path | None = None,
    split: str = "train",
    features: str = KINDS[0],
    set: Sequence[str] = (),
    keep: int = KEEP,
    batch_size: int = 256,
    distributed: bool = False,
) -> dict[str, dict[str, Any]]:
    """Print the metrics as a table, write them to ``out``, and return them."""
    if distributed:
        jax.distributed.initialize()
    names = metrics.split(",") if isinstance(metrics, str) else metrics
    check_metrics(names)
    given = (images, reference, *((held_out,) if held_out is not None else ()))
    extractor = functools.cache(lambda: _extractor(features, set))  # read once, and only if a side is of images
    sides = [
        read(each)
        if is_statistics(each)
        else statistics_of(_opened(each, split), extractor(), keep=keep, batch_size=batch_size)
        for each in given
    ]
    sample, real, *further = sides
    found = compare(sample, real, names, held_out=further[0] if further else None)
    if jax.process_index() == 0:
        _print(found)
        if out is not None:
            with written_whole(out) as part:
                about = [dict(side.about) for side in sides]
                part.write_text(json.dumps({"metrics": found, "about": about}, indent=1) + "\n")
            print(f"written {out}")
    return found


def make_statistics(
    images: str,
    out: Path,
    form: Any = "ours",
    split: str = "train",
    features: str = KINDS[0],
    set: Sequence[str] = (),
    keep: int = KEEP,
    batch_size: int = 256,
    distributed: bool = False,
) -> Statistics:
    """Write the statistics of images to ``out``. An interrupted pass resumes."""
    if distributed:
        jax.distributed.initialize()
    require(out.suffix == ".npz", f"--out={out} must end with .npz")
    found = statistics_of(_opened(images, split), _extractor(features, set), out, keep=keep, batch_size=batch_size)
    if form != "ours" and jax.process_index() == 0:
        write(out, found, form)
    if jax.process_index() == 0:
        print(f"written {out}: {found.n:,} examples, {len(found.moments.mean)} features")
    return found


def install_weights(name: str, file: Path) -> None:
    """Check that the weights are those of the network, and keep them for ``--features=NAME``."""
    getattr(rooms, name)(file=file)
    print(f"written {install(name, file)}; --features={name} uses it from now on")


def _opened(images: str, split: str) -> Source:
    """All images of a folder or a file, or a split of a source."""
    path = Path(images).expanduser()
    if not path.exists():
        return open_any(images, split, {})
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            key = next((name for name in ("data", "arr_0", "samples", "images") if name in arrays), None)
            require(
                key is not None, f"{path} has no images: no array data, arr_0, samples or images, only {list(arrays)}"
            )
        return open_any(images, "train", {"data_key": key})
    return open_any(images, "train", {} if path.suffix == ".npy" else {"test_fraction": 0.0})


def _extractor(name: str, options: Sequence[str]) -> Extractor:
    require(name in KINDS, f"--features={name}; allowed: {', '.join(KINDS)}")
    given = dict(parse_option(option) for option in options)
    if name == "function":
        require("of" in given, "--features=function needs --set of=my_package.module:function")
        given["of"] = import_object(given["of"])
    try:
        return getattr(rooms, name)(**given)
    except TypeError as error:
        raise ValueError(f"--features={name}: {error}; give its options as --set OPTION=VALUE") from error


def _print(found: dict[str, dict[str, Any]]) -> None:
    heads = ("", "value", "90 % interval", "floor", "N", "N of the reference")
    rows = [heads, *rows_of({"metrics": found})]
    used = used_columns(rows[1:])
    widths = {i: max(len(row[i]) for row in rows) for i in used}
    for row in rows:
        print("  ".join(row[i].ljust(widths[i]) if i == 0 else row[i].rjust(widths[i]) for i in used).rstrip())
